"""Shapes: signed distances in mm (negative inside) and how they are painted as tissue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bids_synth.spatial.grid import Grid

Array = npt.NDArray[np.float32]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Shape:
    """A solid: its signed distance as a function of x, y, z, and the box that holds it."""

    distance: Callable[[Array, Array, Array], Array]
    low: Point
    high: Point


def ellipsoid(centre: Point, radii: Point) -> Shape:
    """An ellipsoid with axes along x, y, z; the distance is exact on its surface only."""
    least = min(radii)

    def distance(x: Array, y: Array, z: Array) -> Array:
        parts = [((v - c) / r) ** 2 for v, c, r in zip((x, y, z), centre, radii, strict=True)]
        return np.asarray((np.sqrt(parts[0] + parts[1] + parts[2]) - 1) * least)

    low, high = np.subtract(centre, radii), np.add(centre, radii)
    return Shape(distance, (low[0], low[1], low[2]), (high[0], high[1], high[2]))


def tube(points: Sequence[Point], radii: Sequence[float]) -> Shape:
    """A tube along straight pieces, its radius changing linearly between the points."""
    knots, widths = np.asarray(points, np.float32), np.asarray(radii, np.float32)

    def distance(x: Array, y: Array, z: Array) -> Array:
        result: Array | None = None
        for a, b, ra, rb in zip(knots, knots[1:], widths, widths[1:], strict=False):
            along = b - a
            t = (x - a[0]) * along[0] + (y - a[1]) * along[1] + (z - a[2]) * along[2]
            t = np.clip(t / float(along @ along), 0, 1)
            square = sum((v - (a[i] + t * along[i])) ** 2 for i, v in enumerate((x, y, z)))
            piece = np.sqrt(square) - (ra + t * (rb - ra))
            result = piece if result is None else np.minimum(result, piece)
        return np.asarray(result)

    wide = float(widths.max())
    low, high = knots.min(axis=0) - wide, knots.max(axis=0) + wide
    return Shape(distance, (low[0], low[1], low[2]), (high[0], high[1], high[2]))


def mirrored(make: Callable[..., Shape], *args: object) -> Shape:
    """The shape on the right (x > 0) and its mirror image on the left."""
    right = make(*args)

    def distance(x: Array, y: Array, z: Array) -> Array:
        return right.distance(np.abs(x), y, z)

    return Shape(distance, (-right.high[0], *right.low[1:]), right.high)


def smooth_union(a: Array, b: Array, radius: float) -> Array:
    """Signed distance of two solids joined with a fillet of about `radius` mm."""
    h = np.clip(0.5 + 0.5 * (b - a) / radius, 0, 1)
    return np.asarray(b + (a - b) * h - radius * h * (1 - h))


def coverage(distance: Array, spacing: float) -> Array:
    """Share of a voxel of `spacing` mm that lies inside a surface, 0 to 1."""
    return np.clip(0.5 - distance / np.float32(spacing), 0, 1)


@dataclass
class Canvas:
    """Tissue fractions painted front to back: what is painted first hides what follows."""

    grid: Grid
    left: Array = field(init=False)
    """Share of each voxel that is still bare."""
    fractions: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left = np.ones(self.grid.shape, np.float32)

    def axes(self) -> tuple[Array, Array, Array]:
        """mm along x, y and z, shaped to broadcast."""
        step, shape = np.diag(self.grid.affine)[:3], self.grid.shape
        lines = [self.grid.affine[a, 3] + step[a] * np.arange(shape[a]) for a in range(3)]
        x, y, z = np.ix_(*(line.astype(np.float32) for line in lines))
        return x, y, z

    def paint(self, tissue: str, share: Array, where: tuple[slice, ...] = ()) -> None:
        """Give `tissue` this share, 0 to 1, of what is still bare."""
        where = where or (slice(None),) * 3
        if tissue not in self.fractions:
            self.fractions[tissue] = np.zeros(self.grid.shape, np.float32)
        taken = self.left[where] * share
        self.fractions[tissue][where] += taken
        self.left[where] -= taken

    def draw(self, tissue: str, shape: Shape, clip: Array | None = None) -> None:
        """Paint a shape; `clip` is a signed distance of where it may be."""
        spacing = self.grid.spacing[0]
        low = np.floor(self.grid.to_index(np.subtract(shape.low, 2 * spacing))).astype(int)
        high = np.ceil(self.grid.to_index(np.add(shape.high, 2 * spacing))).astype(int) + 1
        where = tuple(
            slice(max(a, 0), max(min(b, n), 0))
            for a, b, n in zip(low, high, self.grid.shape, strict=True)
        )
        x, y, z = self.axes()
        distance = shape.distance(x[where[0]], y[:, where[1]], z[:, :, where[2]])
        if clip is not None:
            distance = np.maximum(distance, clip[where])
        self.paint(tissue, coverage(distance, spacing), where)
