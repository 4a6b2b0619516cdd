"""Planes: where to cut a head, and any image of it sampled there in true proportions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume

Name = Literal["axial", "coronal", "sagittal"]
Picture = npt.NDArray[np.float32]
Window = tuple[float, float]

_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}
_ACROSS = {"axial": 0, "coronal": 0, "sagittal": 1}
_DOWN = {"axial": 1, "coronal": 2, "sagittal": 2}
_ENDS = {0: ("R", "L"), 1: ("A", "P"), 2: ("S", "I")}
_COORDINATE = "xyz"


@dataclass(frozen=True, eq=False)
class Plane:
    """One plane through a head as a picture of square pixels, in radiological convention."""

    name: Name
    """axial, coronal or sagittal (along the axes of the grid that it was chosen on)."""
    points: npt.NDArray[np.float64]
    """(rows, columns, 3) RAS+ mm; patient's right (or front) left, head (or front) up."""
    pixel: float
    """Edge of a pixel, mm."""

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """What lies left, right, above and below the picture, as R L A P."""
        return *_ENDS[_ACROSS[self.name]], *_ENDS[_DOWN[self.name]]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, mm."""
        rows, columns = self.points.shape[:2]
        return columns * self.pixel, rows * self.pixel

    @property
    def place(self) -> str:
        """The coordinate of its centre, as in `z 24 mm`."""
        axis = _AXIS[self.name]
        centre = self.points.mean(axis=(0, 1))[axis]
        return f"{_COORDINATE[axis]} {round(centre)} mm".replace("-", "\N{MINUS SIGN}")


def choose_planes(
    mask: Volume,
    *,
    axial: tuple[float, ...] = (),
    coronal: tuple[float, ...] = (),
    sagittal: tuple[float, ...] = (),
    margin: float = 6.0,
    finest: float = 0.8,
) -> tuple[Plane, ...]:
    """Planes at fractions of the mask's extent (0 is inferior, posterior, left), cropped to it.

    `margin` is kept around the mask, and a pixel is at least `finest`, mm. An empty mask counts
    as the whole grid.
    """
    upright = mask.canonical()
    low, high = extent(upright)
    spacing = np.asarray(upright.grid.spacing)
    pixel = float(max(spacing.min(), finest))
    wanted: tuple[tuple[Name, tuple[float, ...]], ...] = (
        ("axial", axial),
        ("coronal", coronal),
        ("sagittal", sagittal),
    )
    planes = []
    for name, fractions in wanted:
        axis = _AXIS[name]
        for fraction in fractions:
            at = low[axis] + fraction * (high[axis] - low[axis])
            reach = margin / spacing
            points = _points(upright.grid, name, at, low - reach, high + reach, pixel)
            planes.append(Plane(name, points, pixel))
    return tuple(planes)


def sample(volume: Volume, plane: Plane) -> Picture:
    """The image on the plane by linear interpolation; NaN outside its grid."""
    index = np.moveaxis(volume.grid.to_index(plane.points), -1, 0)
    values: Picture = ndimage.map_coordinates(
        volume.array, index, output=np.float32, order=1, mode="constant", cval=np.nan
    )
    return values


def limits(volume: Volume, mask: Volume) -> tuple[float, float]:
    """Window that shows tissue: robust percentiles of the image inside a mask, on any grids.

    Of the whole image where the mask holds none of its voxels.
    """
    inside = volume.array[_holds(mask, volume.grid)]
    return span(inside if inside.size else volume.array)


def _holds(mask: Volume, grid: Grid) -> npt.NDArray[np.bool_]:
    """Which voxels of a grid have their centre inside the mask."""
    if mask.grid.matches(grid):
        return np.asarray(mask.array > 0)
    way = np.linalg.inv(mask.grid.affine) @ grid.affine
    inside: npt.NDArray[np.uint8] = ndimage.affine_transform(
        (mask.array > 0).astype(np.uint8), way[:3, :3], way[:3, 3], output_shape=grid.shape,
        order=0, mode="constant",
    )  # fmt: skip
    return inside > 0


def span(values: npt.NDArray[Any], *, tail: float = 0.5) -> tuple[float, float]:
    """Percentiles `tail` and 100 - `tail`, always apart.

    >>> span(np.array([3.0, 3.0]))
    (3.0, 4.0)
    """
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(p) for p in np.nanpercentile(values, [tail, 100 - tail]))
    return low, high if high > low else low + 1.0


def extent(mask: Volume) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """First and last index of the mask along each axis; of the whole grid where it is empty."""
    inside = mask.array > 0
    if not inside.any():
        return np.zeros(3), np.asarray(mask.grid.shape, dtype=np.float64) - 1
    hits = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return np.array([h[0] for h in hits], float), np.array([h[-1] for h in hits], float)


def _points(
    grid: Grid,
    name: Name,
    at: float,
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    pixel: float,
) -> npt.NDArray[np.float64]:
    across, down = _ACROSS[name], _DOWN[name]
    step = pixel / np.asarray(grid.spacing)
    columns = np.arange(high[across], low[across] - step[across] / 2, -step[across])
    rows = np.arange(high[down], low[down] - step[down] / 2, -step[down])
    index = np.empty((rows.size, columns.size, 3))
    index[..., _AXIS[name]] = at
    index[..., across] = columns[None, :]
    index[..., down] = rows[:, None]
    return grid.to_mm(index)
