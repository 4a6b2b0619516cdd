"""People: the real participants, the studies that they are from, and what is made from what."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bids_synth.cli.parser import build_parser
from bids_synth.cli.resolve import resolve
from bids_synth.core.visit import Prepared
from bids_synth.pipeline.discover import discover
from bids_synth.pipeline.prepare_visits import prepare_all
from bids_synth.recipe.recipe import load_recipe

STUDIES = {
    "stroke": ("stroke01",),
    "ms": ("ms07", "ms26"),
    "glioma": ("tcga6692", "tcga7294"),
}
"""Study -> its participants, who are left out together."""
MODALITIES = ("T1w", "T2w", "FLAIR")
Direction = tuple[tuple[str, ...], str]
DIRECTIONS: tuple[Direction, ...] = (
    (("T1w",), "T2w"),
    (("T1w",), "FLAIR"),
    (("T2w",), "T1w"),
    (("T2w",), "FLAIR"),
    (("FLAIR",), "T1w"),
    (("FLAIR",), "T2w"),
    (("T1w", "FLAIR"), "T2w"),
    (("T1w", "T2w"), "FLAIR"),
    (("T2w", "FLAIR"), "T1w"),
)
"""Sources and target."""


def everybody() -> tuple[str, ...]:
    """All participants, study by study."""
    return tuple(person for people in STUDIES.values() for person in people)


def others(study: str) -> tuple[str, ...]:
    """Those who teach where a study is left out."""
    return tuple(person for person in everybody() if person not in STUDIES[study])


def name_of(direction: Direction) -> str:
    """A direction in words.

    >>> name_of((("T1w", "FLAIR"), "T2w"))
    'T1w+FLAIR>T2w'
    """
    return f"{'+'.join(direction[0])}>{direction[1]}"


def job(dataset: Path, out: Path, recipe: str, *more: str) -> list[str]:
    """Arguments of `group` for the three modalities at 1 mm.

    Lines share an output where they share a recipe, and so its preparation.
    """
    place = out / recipe
    words = [str(dataset), str(place), "group", "-w", str(out / f"{recipe}-work")]
    words += ["--recipe", recipe, "--modalities", *MODALITIES, "--device", "cpu"]
    return [*words, *more]


def prepare(dataset: Path, out: Path, recipe: str) -> dict[str, Prepared]:
    """Everybody as the recipe prepares them, by label; made once."""
    words = job(dataset, out, recipe, "--preproc-only")
    subprocess.run([sys.executable, "-m", "bids_synth", *words], check=True)
    settings = resolve(build_parser().parse_args(words))
    chosen = load_recipe(recipe).limited_to(MODALITIES)
    prepared, problems = prepare_all(discover(settings, chosen).visits, chosen, settings)
    if problems:
        message = "; ".join(map(str, problems))
        raise RuntimeError(message)
    return {item.visit.participant: item for item in prepared.values()}


def split_file(people: Sequence[str], path: Path) -> Path:
    """A split in which all of them teach, nobody selects and nobody is tested."""
    rows = [f"sub-{person}\ttraining" for person in people]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["participant_id\tpart", *rows]) + "\n")
    return path
