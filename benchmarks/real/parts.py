"""Parts: a line without one study; its images and figures are kept, so that a run goes on."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.real.fits import LINES, answers, fit
from benchmarks.real.measures import lesions, measured, truth
from benchmarks.real.people import STUDIES, name_of, others, prepare
from benchmarks.real.rivals import RIVALS, Answers
from benchmarks.real.shipped import shipped
from bids_synth.core.visit import Prepared
from bids_synth.spatial.volume import Volume

RECIPE = "impute"
"""Whose preparation the rivals are given."""
SHIPPED = {"any-contrast": shipped}
"""The model that comes with the package, of which the part's study has been left out."""


@dataclass(frozen=True)
class Bench:
    """Where the scans are and where everything is kept."""

    dataset: Path
    out: Path

    def part(self, line: str, study: str) -> Path:
        """Folder of one part."""
        return self.out / "parts" / f"{line.replace(', ', '-').replace(' ', '-')}-{study}"

    def figures(self) -> pd.DataFrame:
        """Of all parts that are there."""
        tables = [
            pd.read_csv(path, sep="\t") for path in sorted(self.out.glob("parts/*/figures.tsv"))
        ]
        return pd.concat(tables, ignore_index=True)

    def image(self, line: str, study: str, person: str, words: str) -> npt.NDArray[np.float32]:
        """What a line made of a direction."""
        file = self.part(line, study) / f"{person}-{words.replace('>', '-to-')}.npy"
        return np.asarray(np.load(file), np.float32)


def lines() -> list[str]:
    """Names of all lines, in the order of the table."""
    return [*RIVALS, *SHIPPED, *(one.name for one in LINES)]


def make(bench: Bench, wanted: Sequence[str], studies: Sequence[str]) -> None:
    """Make the parts that lack."""
    for study in studies:
        for name in wanted:
            if not (bench.part(name, study) / "figures.tsv").is_file():
                began = time.perf_counter()
                _make(bench, name, study)
                spent = (time.perf_counter() - began) / 60
                print(f"{name} without {study}: {spent:.1f} min", flush=True)


def _make(bench: Bench, name: str, study: str) -> None:
    line = next((one for one in LINES if one.name == name), None)
    recipe = line.recipe if line else RECIPE
    people = prepare(bench.dataset, bench.out, recipe)
    teaching, tested = ([people[p] for p in chosen] for chosen in (others(study), STUDIES[study]))
    began = time.perf_counter()
    if name in SHIPPED:
        found = SHIPPED[name](people, bench.out, study)
    elif line is None:
        found = RIVALS[name](teaching, tested)
    else:
        folder = fit(line, bench.dataset, bench.out, others(study), study)
        found = answers(folder, tested)
    place = bench.part(name, study)
    place.mkdir(parents=True, exist_ok=True)
    rows = _judged(bench, found, people, place)
    rows = [{"line": name, "study": study, **row} for row in rows]
    spent = {"minutes": (time.perf_counter() - began) / 60, "commit": _commit()}
    (place / "part.json").write_text(json.dumps(spent))
    pd.DataFrame(rows).to_csv(place / "figures.tsv", sep="\t", index=False, na_rep="n/a")


def _judged(
    bench: Bench, found: Answers, people: dict[str, Prepared], place: Path
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    truths: dict[tuple[str, str], Volume] = {}
    for label, direction, image in found:
        person, target = people[label], direction[1]
        real = truths.setdefault((label, target), truth(person, target))
        made = Volume(image.astype(np.float32), person.grid, real.unit)
        marked = lesions(person, bench.dataset)
        figures = measured(real, made, person.mask_image, marked)
        words = name_of(direction)
        np.save(place / f"{label}-{words.replace('>', '-to-')}.npy", image.astype(np.float16))
        rows.append({"participant": label, "direction": words, "target": target, **figures})
    return rows


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
