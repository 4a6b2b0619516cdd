"""Resampling: the values of a volume on another grid, once, without overshoot."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.spatial.grid import Affine, Grid, reorient
from bids_synth.spatial.volume import Volume

ARM = 12
"""Voxels kept around the part that is read: the B-spline's memory fades to 1e-7 over it."""
SAME = 1e-3
"""Largest difference, in voxels, at which two grids hold the same voxels."""


def resample(
    volume: Volume,
    grid: Grid,
    *,
    transform: Affine | None = None,
    order: int = 1,
    background: float = 0.0,
) -> Volume:
    """Values of `volume` at the voxels of `grid`.

    `transform` maps RAS+ mm of `grid` to RAS+ mm of `volume` (identity where None). `order`
    is 0 (nearest), 1 (linear) or 3 (cubic B-spline, clamped to the range of the input).
    Where the new voxels are larger, the input is first smoothed to their size (order > 0).
    The outermost values reach half a voxel beyond their centres; all else is `background`.
    float32 (uint8 for order 0 on uint8). Inverse up to interpolation: the grids exchanged
    and the transform inverted.
    """
    index = np.linalg.inv(volume.grid.affine)
    index = index @ (np.eye(4) if transform is None else transform) @ grid.affine
    if transform is None and (exact := _whole_voxels(volume, grid, background)) is not None:
        return exact
    array, offset = _part(volume.array, index, grid.shape)
    if array.size == 0:
        return Volume(np.full(grid.shape, background, _kind(volume, order)), grid, volume.unit)
    if order > 0:
        array = _smooth(array.astype(np.float32, copy=False), index)
    result = interpolate(array, index, offset, grid.shape, order=order, background=background)
    return Volume(result.astype(_kind(volume, order), copy=False), grid, volume.unit)


def crop_pad(
    array: npt.NDArray[Any], start: tuple[int, int, int], shape: tuple[int, ...], *, fill: float
) -> npt.NDArray[Any]:
    """Voxels start <= index < start + shape of `array`; those outside it are `fill`.

    >>> crop_pad(np.ones((1, 1, 1)), (-1, 0, 0), (3, 1, 1), fill=0).ravel().tolist()
    [0.0, 1.0, 0.0]
    """
    result = np.full(shape, fill, dtype=array.dtype)
    inside = [
        slice(max(a, 0), max(min(a + n, m), 0))
        for a, n, m in zip(start, shape, array.shape, strict=True)
    ]
    into = tuple(
        slice(s.start - a, s.start - a + max(s.stop - s.start, 0))
        for s, a in zip(inside, start, strict=True)
    )
    if all(s.stop > s.start for s in inside):
        result[into] = array[tuple(inside)]
    return result


def same_voxels(one: Grid, other: Grid) -> tuple[int, int, int] | None:
    """Where `other` starts in `one`, in whole voxels, or None where the voxels differ.

    Both grids must have the same axis order for an answer.
    """
    step = np.linalg.inv(one.affine) @ other.affine
    start = np.rint(step[:3, 3])
    drift = np.abs(step[:3, :3] - np.eye(3)) * other.shape
    if drift.max() > SAME or np.abs(step[:3, 3] - start).max() > SAME:
        return None
    return int(start[0]), int(start[1]), int(start[2])


def _whole_voxels(volume: Volume, grid: Grid, background: float) -> Volume | None:
    there = grid.canonical()
    here = volume.canonical()
    start = same_voxels(here.grid, there)
    if start is None:
        return None
    array = crop_pad(here.array, start, there.shape, fill=background)
    return Volume(reorient(array, there, grid), grid, volume.unit)


def _kind(volume: Volume, order: int) -> npt.DTypeLike:
    return volume.array.dtype if order == 0 else np.float32


def _part(
    array: npt.NDArray[Any], index: Affine, shape: tuple[int, ...]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """The box of `array` that the target reads, and where it starts."""
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij"), -1)
    seen = corners.reshape(-1, 3) @ index[:3, :3].T + index[:3, 3]
    low = np.maximum(np.floor(seen.min(0)).astype(int) - ARM, 0)
    high = np.minimum(np.ceil(seen.max(0)).astype(int) + ARM + 1, array.shape)
    box = tuple(slice(a, max(a, b)) for a, b in zip(low, high, strict=True))
    return array[box], low.astype(np.float64)


def widths(index: Affine) -> npt.NDArray[np.float64]:
    """Standard deviations (3,), in voxels, of the Gaussian that widens a voxel to the target's.

    `index` maps an index of the target to one of the input. FWHM^2 = size^2 - 1, in voxels; 0
    where the target's voxels are no more than a tenth larger.
    """
    size = np.linalg.norm(index[:3, :3], axis=1)
    sigma = np.sqrt(np.maximum(size**2 - 1, 0) / (8 * np.log(2)))
    return np.asarray(np.where(size < 1.1, 0, sigma))


def _smooth(array: npt.NDArray[np.float32], index: Affine) -> npt.NDArray[np.float32]:
    sigma = widths(index)
    if not sigma.any():
        return array
    return np.asarray(ndimage.gaussian_filter(array, sigma, mode="nearest", truncate=3.0))


def interpolate(
    array: npt.NDArray[Any],
    index: Affine,
    offset: npt.NDArray[np.float64],
    shape: tuple[int, ...],
    *,
    order: int = 1,
    background: float = 0.0,
) -> npt.NDArray[Any]:
    """Values of an array at the voxels of a target of this shape.

    `index` maps an index of the target to one of the input, in which the array starts at
    `offset`. `order` and `background` as in `resample`.
    """
    padded = np.pad(array, 1, mode="edge")
    if order > 1:
        padded = ndimage.spline_filter(padded, order, output=np.float32, mode="mirror")
    # Rounding to a millionth of a voxel keeps edge voxels inside despite float error.
    result = ndimage.affine_transform(
        padded,
        np.round(index[:3, :3], 9),
        np.round(index[:3, 3] - offset + 1, 6),
        output_shape=shape,
        order=order,
        mode="constant",
        cval=np.nan if order > 1 else background,
        prefilter=False,
    )
    if order > 1:
        np.clip(result, array.min(), array.max(), out=result)
        result[np.isnan(result)] = background
    return np.asarray(result)
