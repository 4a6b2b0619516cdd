"""The five tasks, each with its classic and its modern recipe, and their sizes for the demo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Overrides = Mapping[str, str]


@dataclass(frozen=True)
class Entry:
    """A recipe as the benchmark fits it."""

    recipe: str
    overrides: Overrides = field(default_factory=dict)
    """What is smaller than in the recipe, so that a budget of minutes teaches something."""


@dataclass(frozen=True)
class Task:
    """One task of the mission."""

    name: str
    modalities: tuple[str, ...]
    """Those that a dataset must have."""
    classic: Entry
    modern: Entry


# A second network halves the steps of both; where it was tried, one did better in these minutes.
_SMALL = {
    "network.filters": "8",
    "fit.patch": "[32, 32, 32]",
    "fit.batch": "2",
    "fit.members": "1",
}
_PLANAR = {
    "network.filters": "32",
    "objective.discriminator.filters": "32",
    "fit.patch": "[64, 64, 1]",
    "fit.batch": "4",
}

TASKS = (
    Task(
        "any-missing",
        ("T1w", "T2w"),
        Entry("mmgan", _PLANAR),
        Entry("impute"),
    ),
    Task(
        "unpaired",
        ("T1w", "T2w"),
        Entry("cyclegan", {**_PLANAR, "network.blocks": "6", "fit.batch": "1"}),
        Entry(
            "cyclegan-structure",
            {"network.filters": "8", "fit.patch": "[24, 24, 24]", "fit.members": "1"},
        ),
    ),
    Task(
        "ct",
        ("T1w", "ct"),
        Entry("pix2pix-ct", {**_PLANAR, "network.downs": "6"}),
        Entry("ct", _SMALL),
    ),
    Task(
        "pet",
        ("T1w", "pet"),
        # Tens of steps instead of thousands: each must be longer.
        Entry("mri2pet", {"fit.patch": "[32, 32, 32]", "fit.learning_rate": "1e-3"}),
        Entry("pet", {**_SMALL, "fit.members": "2"}),
    ),
    Task(
        "cmro2",
        ("cbf", "cbv", "T2map", "T2starmap", "cmro2"),
        Entry("cmro2-cgan", {"grid.spacing": "4.0", "fit.batch": "1"}),
        Entry("cmro2", _SMALL),
    ),
)
