"""Coverage: how much of the brain a scan shows, by its field of view and what is empty in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.spatial.boxes import faces
from bids_synth.spatial.grid import Affine, Grid
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume

Where = npt.NDArray[np.bool_]

COMPLETE = 0.995
"""Share of the mask from which a scan counts as whole."""
COARSE = 2.0
"""Voxel size, mm, of the copy in which padding is followed from the border."""
THIN = 4.0
"""Radius, mm, of the ball that must fit into what is empty: the rims between two masks of one
brain, and dark fluid between the gyri, hold no such ball."""
EDGE = 1e-3
"""Width, in voxels, by which the edge of a field of view is uncertain."""
FACE = 0.25
"""Share of one face of a scan with one exact value from which that value may be padding."""


def coverage(scan: Volume, mask: Volume, *, transform: Affine | None = None) -> Volume:
    """uint8 on the grid of `mask`: 1 where the scan was acquired, 0 where it was not.

    `transform` maps RAS+ mm of the mask to those of the scan. Not acquired is what lies outside
    the scan's grid, and inside the mask also what is padding in it: one exact value that reaches
    the border, as where a slab was laid into a larger grid or a part of the head was set to 0.
    """
    grid = mask.grid
    missing = ~_in_view(scan.grid, grid, transform)
    constant = np.isin(scan.array, _values_of_faces(scan.array))
    if constant.any():
        level = scan.with_array(constant.astype(np.float32))
        empty = resample(level, grid, transform=transform).array > 0.5
        near = resample(_padding(level), grid, transform=transform).array > 0
        missing |= _thick(empty & near & (mask.array > 0), grid.spacing)
    return mask.with_array((~missing).astype(np.uint8))


def _in_view(scan: Grid, grid: Grid, transform: Affine | None) -> Where:
    """True where a voxel's centre lies in one of the scan's voxels."""
    index = np.linalg.inv(scan.affine) @ (np.eye(4) if transform is None else transform)
    index = index @ grid.affine
    i, j, k = np.ogrid[: grid.shape[0], : grid.shape[1], : grid.shape[2]]
    result = np.ones(grid.shape, np.bool_)
    for (a, b, c, start), length in zip(index[:3], scan.shape, strict=True):
        there = a * i + b * j + c * k + start
        result &= (there > -0.5 - EDGE) & (there < length - 0.5 + EDGE)
    return result


def share_of(covered: Volume, mask: Volume) -> float:
    """The share of a mask that is covered, 0 to 1."""
    inside = mask.array > 0
    return float((covered.array[inside] > 0).mean()) if inside.any() else 0.0


def _values_of_faces(array: npt.NDArray[Any]) -> list[float]:
    """Values that make up much of one of the six faces of a scan."""
    modes = []
    for face in faces(array):
        values, counts = np.unique(face, return_counts=True)
        if counts.max() >= FACE * counts.sum():
            modes.append(float(values[counts.argmax()]))
    return modes


def _padding(constant: Volume) -> Volume:
    """Where wide regions of constant values reach the border, on a coarse copy, float32.

    They are opened before they are followed: noise and narrow fluid lead nowhere.
    """
    wanted = [max(COARSE, s) for s in constant.grid.spacing]
    copy = resample(constant, constant.grid.with_spacing(wanted))
    wide = _opened(copy.array > 0.9, copy.grid.spacing, mode="edge")
    labels, _ = ndimage.label(wide)
    outer = np.unique(np.concatenate([face.ravel() for face in faces(labels)]))
    reaching = np.isin(labels, outer[outer > 0])
    return copy.with_array(ndimage.binary_dilation(reaching, iterations=2).astype(np.float32))


def _thick(missing: Where, spacing: tuple[float, float, float]) -> Where:
    """The pieces of `missing` that hold a ball, with all that is missing near the ball."""
    kept = _opened(missing, spacing, mode="constant")
    if not kept.any():
        return kept
    return np.asarray(missing & (_distance(~kept, spacing) <= 2 * THIN))


def _opened(array: Where, spacing: tuple[float, float, float], *, mode: Any) -> Where:
    """Morphological opening by a ball of THIN mm."""
    width = int(np.ceil(2 * THIN / min(spacing))) + 1
    padded = np.pad(array, width, mode=mode)
    deep = _distance(padded, spacing) > THIN
    if not deep.any():
        return np.zeros_like(array)
    near = _distance(~deep, spacing) <= THIN
    inner = tuple(slice(width, -width) for _ in range(3))
    return np.asarray(near[inner] & array)


def _distance(array: Where, spacing: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Distance of every voxel from the nearest False, mm; large where there is none."""
    if array.all():
        return np.full(array.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(array, sampling=spacing))
