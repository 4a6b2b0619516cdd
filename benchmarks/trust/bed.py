"""Bed: broken visits through the whole program, and which of them it says are strange."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.trust.faults import FAULTS, Scans
from bids_synth.cli.parser import build_parser
from bids_synth.cli.resolve import resolve
from bids_synth.core.modality import MODALITIES
from bids_synth.core.synthetic import Verdict
from bids_synth.core.visit import Prepared
from bids_synth.errors import VisitError
from bids_synth.evaluate.trust.intervals import with_interval
from bids_synth.evaluate.trust.judged import judged
from bids_synth.evaluate.trust.predicted import SourcePredictor
from bids_synth.learn.model.model import Model
from bids_synth.learn.synthesize import load_synthesizer
from bids_synth.pipeline.choose_recipe import chosen_recipe
from bids_synth.pipeline.discover import discover
from bids_synth.pipeline.prepare_visits import prepare_all
from bids_synth.spatial.volume import json_text, read_volume, write_text, write_volume

CLEAN = "nothing"
ANOTHER = "scan of another person"
EVIDENCE = ("held_out", "interval", "networks", "lesions")
"""Checks of the model, not of the visit."""


@dataclass(frozen=True)
class Job:
    """What is broken, and by which model it is judged."""

    recipe: str
    options: tuple[str, ...]
    target: str
    sources: tuple[str, ...]
    """What a visit has; the first one breaks."""


def broken_dataset(people: Mapping[str, Scans], folder: Path, modalities: Sequence[str]) -> Path:
    """A BIDS dataset of every fault of every person; participants are named `<person>x<fault>`."""
    about = {"Name": "Broken visits", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    for number, (label, scans) in enumerate(people.items()):
        for which, fault in enumerate(FAULTS.values()):
            broken = fault(scans, np.random.default_rng([3, number, which]))
            place = folder / f"sub-{label}x{which:02d}"
            if broken is None or place.is_dir():
                continue
            for name in modalities:
                kind = MODALITIES[name]
                stem = place / kind.datatype / f"{place.name}_{kind.suffix}"
                write_volume(broken[name], stem.with_name(f"{stem.name}.nii.gz"))
                if not kind.arbitrary:
                    text = json_text({"Units": kind.unit})
                    write_text(text, stem.with_name(f"{stem.name}.json"))
    write_text(json_text(about), folder / "dataset_description.json")
    return folder


def prepared_visits(
    dataset: Path, out: Path, work: Path, job: Job
) -> tuple[dict[str, Prepared], dict[str, str]]:
    """Prepared visits by participant, and why others were refused."""
    words = [str(dataset), str(out), "group", "-w", str(work), "--recipe", job.recipe]
    words += [*job.options, "--device", "cpu", "--preproc-only"]
    subprocess.run([sys.executable, "-m", "bids_synth", *words], check=False)
    settings = resolve(build_parser().parse_args(words))
    recipe = chosen_recipe(settings)
    found = discover(settings, recipe)
    prepared, problems = prepare_all(found.visits, recipe, settings)
    told = (*problems, *found.problems)
    refused = {str(p.visit).removeprefix("sub-"): str(p.message) for p in told}
    return {p.visit.participant: p for p in prepared.values()}, refused


def verdicts(
    model: Model, job: Job, prepared: Mapping[str, Prepared]
) -> Iterator[dict[str, object]]:
    """A row a visit: from all that it has and, where that is more, from the broken scan alone."""
    synthesizer = load_synthesizer(model, "cpu")
    predictor = SourcePredictor(synthesizer)
    sets = [job.sources] if len(job.sources) == 1 else [job.sources, job.sources[:1]]
    minimum = model.recipe.minimum
    for label, visit in prepared.items():
        for sources in (s for s in sets if len(s) >= minimum):
            row: dict[str, object] = {"visit": label, "sources": "+".join(sources)}
            try:
                image = synthesizer.synthesize(visit, job.target, sources=sources)
            except VisitError as error:
                yield {**row, "level": "refused", "why": str(error)}
                continue
            image = with_interval(image, visit, model.card.intervals)
            verdict = judged(image, visit, model, predictor.of(visit, sources)).verdict
            yield {**row, **_row(verdict or Verdict("review"))}


def _row(verdict: Verdict) -> dict[str, object]:
    """The verdict by what was seen of the visit alone, and what was odd."""
    odd = [c for c in verdict.checks if c.level != "pass" and c.name not in EVIDENCE]
    levels = {c.level for c in odd}
    level = "fail" if "fail" in levels else "review" if levels else "pass"
    why = "; ".join(f"{c.name} {c.value} ({c.expected})" for c in odd)
    return {"level": level, "strangeness": verdict.strangeness, "why": why}


def with_faults(
    rows: Sequence[dict[str, object]], refused: Mapping[str, str], job: Job
) -> pd.DataFrame:
    """Rows with the fault by name; visits that preparation refused are rows, too."""
    more = [
        {"visit": label, "sources": "+".join(job.sources), "level": "refused", "why": why}
        for label, why in refused.items()
    ]
    table = pd.DataFrame([*rows, *more])
    names = [*FAULTS]
    number = table["visit"].str.extract(r"x(\d\d)$")[0]
    table["fault"] = [CLEAN if pd.isna(n) else names[int(n)] for n in number]
    # Of two scans the second one is somebody else's: the first alone is whole.
    table = table[(table["fault"] != ANOTHER) | table["sources"].str.contains("+", regex=False)]
    person = table["visit"].str.replace(r"x\d\d$", "", regex=True)
    return table.assign(person=person)


def scans_of(prepared: Prepared, other: Prepared, names: Sequence[str]) -> Scans:
    """The scans of a visit as they were acquired."""
    images = {m: read_volume(prepared.visit.scans[m].path) for m in names}
    others = {m: read_volume(other.visit.scans[m].path) for m in names}
    path = prepared.visit.scans[names[0]].path
    contrast = path.with_name(path.name.replace("_T1w", "_ce-gadolinium_T1w"))
    agent = read_volume(contrast) if contrast != path and contrast.is_file() else None
    return Scans(images, prepared.levels, others, agent)
