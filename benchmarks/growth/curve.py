"""Curves: cost against size, how fast it grows, and whether that is as wanted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

MOST = 1.1
"""Exponent up to which a cost grows linearly: 1, and what clocks and caches add."""
FLAT = 0.1
"""Share of the first cost by which one that must not grow, and one too small to fit, may grow."""
DECADE = 10.0
"""The exponent is that of sizes down to a tenth of the largest."""


@dataclass(frozen=True)
class Point:
    """The cost at one size."""

    size: float
    seconds: float
    """Processor time, of a process and its children."""
    peak_gb: float = 0.0
    """Largest resident memory of one of these processes."""


@dataclass(frozen=True)
class Curve:
    """Cost against one size, all else equal."""

    name: str
    """What is done."""
    of: str
    """What the size is: participants, Mvoxels or modalities."""
    points: Sequence[Point] = field(default_factory=tuple)
    """By size."""
    flat: bool = False
    """True where the cost must not grow at all."""

    @property
    def exponent(self) -> float | None:
        """Of the cost of size; None where it hardly grows, or has fewer than three sizes."""
        if self.grown <= FLAT:
            return None
        return exponent([p.size for p in self.points], [p.seconds for p in self.points])

    @property
    def grown(self) -> float:
        """By what share of the first cost the last is higher."""
        first, last = self.points[0].seconds, self.points[-1].seconds
        return last / first - 1

    @property
    def each(self) -> float:
        """Seconds of one more (participant, Mvoxel, modality), between the last two sizes."""
        before, last = self.points[-2:]
        return (last.seconds - before.seconds) / (last.size - before.size)

    @property
    def fixed(self) -> float:
        """Seconds of the first size without what its size adds: what every run costs."""
        first = self.points[0]
        return max(0.0, first.seconds - self.each * first.size)

    @property
    def met(self) -> bool:
        """Whether nothing grows faster than linearly; of a flat curve, not at all."""
        if self.flat:
            return self.grown <= FLAT
        return self.exponent is None or self.exponent <= MOST

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Curve:
        """Back from `to_json`."""
        points = tuple(Point(**point) for point in data["points"])
        return cls(**{**data, "points": points})


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float | None:
    """The power of size with which a cost grows, over the upper decade; None without two sizes.

    The first size and its cost are subtracted from the others, so that what every run costs
    plays no part: exactly 1 for every line, above 1 for whatever is convex, below for concave.
    A least-squares line through the logarithms.
    """
    x = np.asarray(sizes[1:], float) - sizes[0]
    y = np.asarray(costs[1:], float) - costs[0]
    used = (np.asarray(sizes[1:]) >= max(sizes) / DECADE * (1 - 1e-9)) & (y > 0)
    if used.sum() < 2:
        return None
    slope = np.polyfit(np.log(x[used]), np.log(y[used]), 1)[0]
    return float(slope) if math.isfinite(slope) else None
