"""Fits: a recipe fitted by the program for so many minutes on those who teach."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.real.people import DIRECTIONS, job, split_file
from benchmarks.real.rivals import Answers
from bids_synth.core.visit import Prepared
from bids_synth.learn.model.model import load_model
from bids_synth.learn.synthesize import load_synthesizer


@dataclass(frozen=True)
class Line:
    """A recipe and its budget."""

    recipe: str
    minutes: float
    overrides: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As the table calls it."""
        return f"{self.recipe}, {self.minutes:g} min"


PLANAR = {"network.filters": "32", "objective.discriminator.filters": "32", "fit.batch": "4"}
"""Half the filters, so that the classic recipe takes more than a few steps."""
LINES = (
    Line("impute", 2),
    Line("impute", 10),
    Line("impute", 30),
    Line("impute", 120),
    Line("mmgan", 10, PLANAR),
    Line("mmgan", 30, PLANAR),
)


def fit(line: Line, dataset: Path, out: Path, people: Sequence[str], study: str) -> Path:
    """The model of a line without a study; its members share the minutes."""
    split = split_file(people, out / f"without-{study}.tsv")
    name = f"{line.recipe}-{line.minutes:g}min-{split.stem}"
    options = ["--split-file", str(split), "--participant-label", *people]
    options += ["--fit-minutes", f"{line.minutes:g}"]
    for key, value in {"name": name, **line.overrides}.items():
        options += ["--set", f"{key}={value}"]
    command = [sys.executable, "-m", "bids_synth", *job(dataset, out, line.recipe, *options)]
    with (out / f"{name}.log").open("ab") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)
    return out / line.recipe / "models" / name


def answers(folder: Path, tested: Sequence[Prepared]) -> Answers:
    """What a model makes of every direction."""
    synthesizer = load_synthesizer(load_model(folder), "cpu")
    for person in tested:
        for sources, target in DIRECTIONS:
            scale = person.scales[target]
            made = synthesizer.synthesize(person, target, sources=sources, scale=scale)
            yield person.visit.participant, (sources, target), made.image.array
