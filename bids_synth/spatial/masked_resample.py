"""Masked resampling: an image with its mask, so that nothing outside the mask blends in."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from bids_synth.spatial.boxes import Box, bounding_box
from bids_synth.spatial.grid import Affine, Grid, inverse, reorient
from bids_synth.spatial.resample import crop_pad, interpolate, same_voxels, widths
from bids_synth.spatial.volume import Volume

HALF = 0.5
"""Share of a voxel that must lie in the mask for the voxel to belong to the image."""
LEAST = 0.01
"""Share from which the part of a voxel that lies in the mask tells its value."""
FADE = 1.0
"""Standard deviation, in voxels, of the Gaussian by which values go on beyond the mask."""
Array = npt.NDArray[Any]


def resample_within(
    volume: Volume,
    within: Array,
    grid: Grid,
    *,
    transform: Affine | None = None,
    order: int = 1,
    background: float = 0.0,
    inside: Array | None = None,
    least: float = HALF,
) -> Volume:
    """Values of `volume` at the voxels of `grid`, of those voxels alone that lie in a mask.

    `within` (I, J, K) is the mask on the volume's grid; what lies outside it has no influence,
    whatever it is. Interpolation is normalised: values times mask over mask, both interpolated
    alike and, where the new voxels are larger, smoothed alike (Knutsson 1993, normalized
    convolution). Order 1 is linear; 3, where at least half of a voxel lies in the mask, is a
    cubic B-spline of the values in the mask, gone on smoothly around it, and linear elsewhere.
    No value leaves the range of those in the mask. float32.

    `inside` is a mask on `grid` of the voxels that have a value: where the mask does not reach
    one, it has the nearest value in the mask. Without it those have one of which the mask fills
    the share `least`. All else, and everything where `within` is empty, is `background`.
    `transform` as in `resample`; voxels that the two grids share are kept as they are.
    """
    used = np.asarray(within) > 0
    result = np.full(grid.shape, background, np.float32)
    if not used.any() or (inside is not None and not np.any(inside)):
        return Volume(result, grid, volume.unit)
    into = bounding_box(inside) if inside is not None else tuple(map(slice, grid.shape))
    values = np.where(used, volume.array, 0).astype(np.float32)
    part = grid.crop([s.start or 0 for s in into], [s.stop for s in into])
    pair = _shared(volume.grid, part, values, used) if transform is None else None
    move = np.eye(4) if transform is None else transform
    if pair is None:
        index = inverse(volume.grid.affine) @ move @ part.affine
        pair = _interpolated(values, used, bounding_box(used), index, part.shape, order)
    moved, weight = pair
    reached = weight >= (least if inside is None else LEAST)
    wanted = reached if inside is None else np.asarray(inside)[into] > 0
    chosen = np.where(wanted & reached, moved, np.float32(background))
    if (lost := np.argwhere(wanted & ~reached)).size:
        points = part.to_mm(lost) @ move[:3, :3].T + move[:3, 3]
        chosen[tuple(lost.T)] = _nearest(volume.grid, values, used, points)
    result[into] = chosen
    return Volume(result, grid, volume.unit)


def _shared(here: Grid, there: Grid, values: Array, used: Array) -> tuple[Array, Array] | None:
    """Values and mask moved voxel by voxel; None where the grids do not share their voxels."""
    one, other = here.canonical(), there.canonical()
    start = same_voxels(one, other)
    if start is None:
        return None
    moved = [
        reorient(crop_pad(reorient(a, here, one), start, other.shape, fill=0), other, there)
        for a in (values, used.astype(np.float32))
    ]
    return moved[0], moved[1]


def _interpolated(
    values: Array, used: Array, box: Box, index: Affine, shape: tuple[int, ...], order: int
) -> tuple[Array, Array]:
    """Normalised values and the share of the mask, which lies in `box`, at a target's voxels."""
    sigma = widths(index)
    room = int(np.ceil(3 * sigma.max())) + 2
    values, mask = (np.pad(a[box], room) for a in (values, used.astype(np.float32)))
    offset = np.array([s.start - room for s in box], np.float64)
    known = values[mask > 0]
    weight = mask
    if sigma.any():
        blur = partial(ndimage.gaussian_filter, sigma=sigma, mode="constant", truncate=3.0)
        values, weight = blur(values), blur(mask)
    share, summed = (interpolate(a, index, offset, shape) for a in (weight, values))
    moved = summed / np.maximum(share, np.float32(1e-6))
    if order > 1:
        filled = _continued(values / np.maximum(weight, np.float32(1e-6)), mask > 0)
        cubic = interpolate(filled, index, offset, shape, order=order)
        moved = np.where(share >= HALF, cubic, moved)
    return np.clip(moved, known.min(), known.max()), share


def _continued(values: Array, inside: Array) -> Array:
    """The values inside a mask, gone on smoothly around it: what a spline's memory needs."""
    mask = inside.astype(np.float32)
    blur = partial(ndimage.gaussian_filter, sigma=FADE, mode="constant")
    near, weight = blur(values * mask), blur(mask)
    known = weight > LEAST
    far = np.float32(values[inside].mean())
    around = np.where(known, near / np.where(known, weight, 1), far)
    return np.where(inside, values, around)


def _nearest(grid: Grid, values: Array, used: Array, points: Array) -> Array:
    """The values in a mask on `grid` that are nearest to points in RAS+ mm, (N,)."""
    surface = np.argwhere(used & ~ndimage.binary_erosion(used))
    _, number = cKDTree(grid.to_mm(surface)).query(points)
    return np.asarray(values[tuple(surface[number].T)])
