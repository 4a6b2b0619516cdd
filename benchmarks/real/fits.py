"""Fits: a recipe fitted by the program for so many minutes on those who teach."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

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
    trial: int
    """Steps by which the time of a step is measured."""
    overrides: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As the table calls it."""
        return f"{self.recipe}, {self.minutes:g} min"


PLANAR = {"network.filters": "32", "objective.discriminator.filters": "32", "fit.batch": "4"}
"""Half the filters, so that the classic recipe takes more than a few steps."""
LINES = (
    Line("impute", 2, 40),
    Line("impute", 10, 40),
    Line("impute", 30, 40),
    Line("impute", 120, 40),
    Line("mmgan", 10, 8, PLANAR),
    Line("mmgan", 30, 8, PLANAR),
)


def fit(line: Line, dataset: Path, out: Path, people: Sequence[str], study: str) -> Path:
    """The model of a line without a study; its members share the minutes."""
    split = split_file(people, out / f"without-{study}.tsv")
    trial = pd.read_csv(_group(line, dataset, out, split, people, 0) / "training.tsv", sep="\t")
    # The first epoch also reads the images; the second tells the time of a step.
    spent = float(trial.loc[trial["epoch"] > 0, "seconds"].mean()) / line.trial
    members = trial["member"].nunique()
    steps = max(line.trial, int(60 * line.minutes / members / spent))
    return _group(line, dataset, out, split, people, steps)


def answers(folder: Path, tested: Sequence[Prepared]) -> Answers:
    """What a model makes of every direction."""
    synthesizer = load_synthesizer(load_model(folder), "cpu")
    for person in tested:
        for sources, target in DIRECTIONS:
            scale = person.scales[target]
            made = synthesizer.synthesize(person, target, sources=sources, scale=scale)
            yield person.visit.participant, (sources, target), made.image.array


def _group(
    line: Line, dataset: Path, out: Path, split: Path, people: Sequence[str], steps: int
) -> Path:
    """One run of the program; a trial of two epochs with 0 steps."""
    words = f"{line.minutes:g}min-{split.stem}" if steps else f"trial-{split.stem}"
    name = f"{line.recipe}-{words}"
    values = {
        "name": name,
        "fit.steps": str(steps or 2 * line.trial),
        "fit.steps_per_epoch": str(max(1, steps // 4) if steps else line.trial),
        **line.overrides,
    }
    options = ["--split-file", str(split), "--participant-label", *people]
    for key, value in values.items():
        options += ["--set", f"{key}={value}"]
    command = [sys.executable, "-m", "bids_synth", *job(dataset, out, line.recipe, *options)]
    with (out / f"{name}.log").open("ab") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)
    return out / line.recipe / "models" / name
