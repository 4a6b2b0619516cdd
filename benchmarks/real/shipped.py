"""Shipped: the model that comes with the package, fitted anew without a study."""

from __future__ import annotations

from pathlib import Path

from benchmarks.real.fits import answers
from benchmarks.real.people import STUDIES, others
from benchmarks.real.rivals import Answers
from bids_synth.core.visit import Prepared
from training.any_contrast import dataset_of, fit

WITHOUT = ("fit.steps=3000", "fit.members=1")
"""A shorter fit of one network: three of them are made for the table."""


def without(people: dict[str, Prepared], out: Path, study: str) -> Path:
    """The model that has never seen a study."""
    dataset = dataset_of(people, out / "bids")
    return fit(dataset, out, others(study), f"without-{study}", WITHOUT)


def shipped(people: dict[str, Prepared], out: Path, study: str) -> Answers:
    """Answers with white matter at the level of the real scan: its gain is nobody else's."""
    return answers(without(people, out, study), [people[p] for p in STUDIES[study]])
