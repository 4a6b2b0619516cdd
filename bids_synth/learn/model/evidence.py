"""Evidence: what a card says of how far its model may be trusted, all of it on held-out people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field, model_validator

from bids_synth.core.trust.interval import LEVEL, Factor, Width
from bids_synth.learn.model.entry import Entry, Name
from bids_synth.recipe.sections.base import Line

Finite = Annotated[float, Field(allow_inf_nan=False)]
Sources = Annotated[list[Name], Field(min_length=1, max_length=32)]
MOST_CLASSES = 64


class FactorEntry(Entry):
    """By how much one figure of a voxel widens its interval (`core.trust.interval.Factor`)."""

    values: list[Finite] = Field(min_length=1, max_length=MOST_CLASSES)
    factors: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]]

    @model_validator(mode="after")
    def _rises(self) -> FactorEntry:
        rising = all(a < b for a, b in zip(self.values, self.values[1:], strict=False))
        if len(self.values) != len(self.factors) or not rising:
            message = "expected one factor for each of the values, and values that rise"
            raise ValueError(message)
        return self


class IntervalEntry(Entry):
    """The interval of one target from one set of sources, and how it held on held-out people."""

    target: Name
    sources: Sources
    level: float = Field(LEVEL, gt=0, lt=1)
    """Share of the voxels of a participant whose real value it holds."""
    base: float = Field(gt=0, allow_inf_nan=False)
    factors: dict[Name, FactorEntry] = Field(max_length=16)
    participants: int = Field(ge=1)
    """Validation participants that it was fitted on."""
    coverage: list[Annotated[float, Field(ge=0, le=1)]] = Field(max_length=100_000)
    """Of each of them, the share that it held when it was fitted on the others alone; empty for
    a single one."""

    @property
    def width(self) -> Width:
        """Half the width as a function of what is known of a voxel."""
        factors = {n: Factor(tuple(f.values), tuple(f.factors)) for n, f in self.factors.items()}
        return Width(self.base, factors)


class HeldOut(Entry):
    """What one target from one set of sources scored on people whom the model had not seen."""

    target: Name
    sources: Sources
    protocol: Name
    metric: Name
    participants: int = Field(ge=1)
    mean: Finite
    versus: Line
    """The best of the plain answers."""
    difference: Finite
    """How much better the model was; in the metric's unit, above 0 where it was better."""
    low: Finite | None
    """Ends of the 95 % interval of the difference over participants; None for a single one."""
    high: Finite | None
    lesions: Line = ""
    """What became of the lesions of these people, in a sentence; empty where nobody drew any."""


class Alarm(Entry):
    """How far from what taught a visit may be, in standard deviations, before it is looked at."""

    review: float = Field(gt=0, allow_inf_nan=False)
    """By its largest deviation, such as one visit in twenty of those that taught would have."""
    fail: float = Field(gt=0, allow_inf_nan=False)
    """Such as one in two hundred would have."""
    participants: int = Field(ge=1)
    """Whose deviations from all others the limits are from."""


def interval_of(
    entries: Iterable[IntervalEntry], target: str, sources: Sequence[str]
) -> IntervalEntry | None:
    """The interval of these sources, else of the most of them, which is no narrower; else None."""
    fits = [e for e in entries if e.target == target and {*e.sources} <= {*sources}]
    return max(fits, key=lambda e: len(e.sources), default=None)


def held_out_of(entries: Iterable[HeldOut], target: str, sources: Sequence[str]) -> HeldOut | None:
    """The score of exactly these sources; None where nobody has looked."""
    fits = (e for e in entries if e.target == target and {*e.sources} == {*sources})
    return next(fits, None)
