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


_SMALL = {"network.filters": "8", "fit.patch": "[32, 32, 32]", "fit.batch": "2"}

TASKS = (
    Task(
        "any-missing",
        ("T1w", "T2w"),
        Entry("mmgan", {"fit.patch": "[64, 64, 1]"}),
        Entry("impute", _SMALL),
    ),
    Task(
        "unpaired",
        ("T1w", "T2w"),
        Entry("cyclegan", {"fit.patch": "[64, 64, 1]"}),
        Entry("cyclegan-structure", {"network.filters": "8", "fit.patch": "[24, 24, 24]"}),
    ),
    Task(
        "ct",
        ("T1w", "ct"),
        Entry("pix2pix-ct", {"fit.patch": "[64, 64, 1]", "network.downs": "6"}),
        Entry("ct", _SMALL),
    ),
    Task(
        "pet",
        ("T1w", "pet"),
        Entry("mri2pet", {"fit.patch": "[48, 48, 48]"}),
        Entry("pet", {"network.filters": "8", "fit.patch": "[32, 32, 32]", "fit.batch": "2"}),
    ),
    Task(
        "cmro2",
        ("cbf", "cbv", "T2map", "T2starmap", "cmro2"),
        Entry("cmro2-cgan", {"grid.spacing": "4.0", "fit.batch": "1"}),
        Entry("cmro2", {"network.filters": "8", "fit.patch": "[32, 32, 32]", "fit.batch": "2"}),
    ),
)
