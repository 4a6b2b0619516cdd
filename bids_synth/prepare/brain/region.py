"""Region: the head in an image, and whether it is a brain without its skull."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu

from bids_synth.spatial.boxes import bounding_box
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume

BRAIN_ML = (300.0, 2200.0)
"""Volume of what is not background in an image without skull; heads are larger."""
CORE = 4.0
"""Distance, mm, from the edge of a mask at which its core begins."""
SOME = 100_000
"""Voxels that are enough to find a background."""
CONSTANT = 0.25
"""Share of voxels of one exact value above which that value is a background set by software."""


ENOUGH = 2.0
"""Voxel size, mm, at which a brain's volume is told from a head's: every other voxel of a fine
scan is left out."""
FAINT = 0.01
"""Share of the brightness of a brain without skull below which a voxel may be but its blur."""
FADING = 0.1
"""Share of such voxels from which an image fades: it was smoothed after its skull was taken away,
or shows a quantity that ends with the brain, and what is not background reaches far beyond."""


def is_stripped(volume: Volume) -> bool:
    """True for a brain on a constant background: much of one exact value, and no more than
    a brain's volume beside it. Air set to zero around a whole head does not deceive it."""
    value = commonest(volume.array)
    thin = volume.array[tuple(slice(None, None, max(1, int(ENOUGH / s))) for s in
                              volume.grid.spacing)]  # fmt: skip
    if (thin == value).sum() < CONSTANT * thin.size:
        return False
    _, clear = _whole_and_clear(thin, value)
    voxel = abs(np.linalg.det(volume.grid.affine[:3, :3])) * volume.array.size / thin.size
    ml = float(clear.sum()) * voxel / 1000
    return bool(BRAIN_ML[0] <= ml <= BRAIN_ML[1])


def brain_of_stripped(volume: Volume, *, background: float | None = None) -> Volume:
    """uint8 mask of all that is not background in an image without skull, holes filled.

    Of an image that fades into its background, as maps of perfusion do, what is above half of
    Otsu's threshold.
    """
    background = commonest(volume.array) if background is None else background
    whole, clear = _whole_and_clear(volume.array, background)
    if clear.sum() < (1 - FADING) * whole.sum():
        return head_mask(volume.with_array(np.abs(volume.array - background)))
    return volume.with_array(whole.astype(np.uint8))


def _whole_and_clear(
    array: npt.NDArray[Any], background: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """All that is not background, and what is more than faint, each in one piece and filled."""
    apart = np.abs(array - background)
    whole = solid(apart > 0)
    bright = np.percentile(apart[whole], 90) if whole.any() else 0.0
    return whole, solid(apart > FAINT * bright)


def support(volume: Volume) -> npt.NDArray[np.bool_] | None:
    """Where an image without skull has values, holes filled; None for an image with its skull.

    All pieces count: unlike `brain_of_stripped` it says where values may be read.
    """
    if not is_stripped(volume):
        return None
    return filled(volume.array != commonest(volume.array))


def commonest(array: npt.NDArray[Any]) -> float:
    """The value that most voxels have, of some 100,000 that lie evenly in the array.

    A background set by software is a quarter of an image, and among few voxels as common as
    among all; sorting all of a fine scan takes seconds.
    """
    step = max(1, array.size // SOME) | 1
    values, counts = np.unique(array.ravel()[::step], return_counts=True)
    return float(values[counts.argmax()])


def core(mask: Volume) -> npt.NDArray[np.bool_]:
    """True inside a mask and at least 4 mm from its edge; the whole mask where that is little.

    Intensities are scaled by the core alone: a mask that takes in one percent of skull would
    else move the lowest percentile from tissue to nothing.
    """
    inside = mask.array > 0
    deep = np.zeros_like(inside)
    if inside.any():
        box = bounding_box(inside)
        depth = ndimage.distance_transform_edt(np.pad(inside[box], 1), sampling=mask.grid.spacing)
        deep[box] = depth[1:-1, 1:-1, 1:-1] > CORE
    return np.asarray(deep if deep.sum() > 0.2 * inside.sum() else inside)


def head_mask(volume: Volume) -> Volume:
    """uint8 mask of the head: above half of Otsu's threshold, in one piece, holes filled."""
    smooth = ndimage.gaussian_filter(volume.array.astype(np.float32), _voxels(volume, 1.0))
    low, high = np.percentile(smooth, [1, 99])
    if not high > low:
        return volume.with_array(np.zeros(volume.grid.shape, np.uint8))
    level = low + 0.5 * (threshold_otsu(np.clip(smooth, low, high)) - low)
    size = max(1, round(6.0 / max(volume.grid.spacing)))
    closed = ndimage.binary_closing(np.pad(smooth > level, size), iterations=size)
    inner = tuple(slice(size, -size) for _ in range(3))
    return volume.with_array(solid(closed[inner]).astype(np.uint8))


def world_copy(volume: Volume, spacing: float) -> Volume:
    """The field of view of a volume on cubes of `spacing` mm along the world's axes.

    Voxels lie at whole multiples of `spacing`, so that a head gives the same copy from
    whatever grid it was scanned on. What was not seen has the value of air.
    """
    corners = volume.grid.to_mm(list(product(*[(-0.5, n - 0.5) for n in volume.grid.shape])))
    start = np.floor(corners.min(0) / spacing)
    shape = (np.ceil(corners.max(0) / spacing) - start + 1).astype(int)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = start * spacing
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)
    order = 1 if max(volume.grid.spacing) <= spacing else 3
    return resample(volume, grid, order=order, background=air_of(volume))


def air_of(volume: Volume) -> float:
    """A value of air, below nearly all that an image shows."""
    return float(np.percentile(volume.array, 1))


def solid(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The largest connected piece of a mask, its holes filled."""
    result = np.zeros_like(mask, np.bool_)
    if not mask.any():
        return result
    box = bounding_box(mask)
    labels, count = ndimage.label(mask[box])
    largest = 1 + int(np.bincount(labels.ravel())[1:].argmax()) if count > 1 else 1
    result[box] = filled(labels == largest)
    return result


def filled(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """A mask with all that it encloses: what is not joined by faces to the outside of the array.

    As `scipy.ndimage.binary_fill_holes`, by one labelling of what is not in the mask.
    """
    labels, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    return np.asarray((labels != labels[0, 0, 0])[1:-1, 1:-1, 1:-1])


def _voxels(volume: Volume, mm: float) -> Any:
    return mm / np.asarray(volume.grid.spacing)
