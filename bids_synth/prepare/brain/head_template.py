"""Head template: the brain-only MNI152 with the layers of a head around it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.spatial.boxes import bounding_box
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.resample import resample
from bids_synth.spatial.template import template_mask, template_t1w, template_tissue
from bids_synth.spatial.volume import Volume

PAD = 26
"""Millimetres added around the template for skull, scalp and air."""
LAYERS = (3.0, 9.0, 15.0)
"""Outer distance from the brain of fluid, skull and scalp, mm, typical of the vault."""
BRIGHTNESS_BINS = 10
"""Classes of brightness that the brain of the template is cut into."""
PRIOR_SPACING = 2.0
"""Voxel size of the priors, mm."""
MARGIN = 24.0
"""Millimetres around the box of the brain that the priors cover."""
BLUR = 3.5
"""Standard deviation, mm, by which the priors are blurred: how far anatomy varies."""


@dataclass(frozen=True, eq=False)
class HeadLabels:
    """Classes of like tissue, for registration by mutual information."""

    points: npt.NDArray[np.float64]
    """(N, 3) RAS+ mm of the template."""
    labels: npt.NDArray[np.int64]
    """(N,) class of each point: brightness of the brain, then the layers and air."""


@dataclass(frozen=True, eq=False)
class Priors:
    """Blurred probabilities (K, I, J, K) of the tissues on a grid in template space."""

    maps: npt.NDArray[np.float32]
    """White matter, grey matter, fluid, skull, scalp, air, and the lower head."""
    grid: Grid
    wet: npt.NDArray[np.float32]
    """(I, J, K) share of the fluid that lies inside the outline of the brain."""


@cache
def head_labels(spacing: float = 4.0) -> HeadLabels:
    """Classes of the upper head: below the vault heads differ too much to help."""
    grid, distance, brain = _head(spacing)
    height = grid.to_mm(_indices(grid))[..., 2]
    inside = distance <= 0
    labels = np.digitize(distance, (0.0, *LAYERS)) + BRIGHTNESS_BINS
    bins = np.clip(brain / 256 * BRIGHTNESS_BINS, 0, BRIGHTNESS_BINS - 1).astype(int)
    labels[inside] = bins[inside]
    region = inside | ((distance < 24) & (height > -5)) | (distance < LAYERS[0])
    return HeadLabels(grid.to_mm(np.argwhere(region)), labels[region].astype(np.int64))


@cache
def priors(thin: int = 1) -> Priors:
    """Where each tissue is to be expected around the brain, at 2 mm times `thin`."""
    spacing = PRIOR_SPACING
    grid, distance, _ = _head(spacing)
    inside = distance <= 0
    wm, gm = (resample(template_tissue(t), grid).array.clip(0, 1) * inside for t in ("wm", "gm"))
    upper = 1 / (1 + np.exp(-(grid.to_mm(_indices(grid))[..., 2] + 10) / 5))
    fluid_out, skull_out, scalp_out = LAYERS
    wet = inside * np.clip(1 - gm - wm, 0, None)
    maps = [
        wm,
        gm,
        wet + ((distance > 0) & (distance <= fluid_out)),
        ((distance > fluid_out) & (distance <= skull_out)) * upper,
        ((distance > skull_out) & (distance <= scalp_out)) * upper,
        (distance > scalp_out) * upper,
        (distance > fluid_out) * (1 - upper),
    ]
    blurred = np.stack([_blur(m, spacing) for m in maps]) + np.float32(1e-5)
    share = _blur(wet, spacing) / blurred[2]
    near = tuple(slice(a, b, thin) for a, b in _near(grid, inside))
    affine = grid.affine @ np.diag([thin, thin, thin, 1])
    affine[:3, 3] = grid.to_mm([s.start for s in near])
    maps_near = (blurred / blurred.sum(0))[:, *near]
    i, j, k = maps_near.shape[1:]
    return Priors(np.ascontiguousarray(maps_near), Grid((i, j, k), affine), share[near])


def _near(grid: Grid, inside: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index along each axis of the box of the brain and MARGIN around it."""
    index, margin = np.argwhere(inside), round(MARGIN / grid.spacing[0])
    low = np.maximum(index.min(0) - margin, 0)
    high = np.minimum(index.max(0) + 1 + margin, grid.shape)
    return [(int(a), int(b)) for a, b in zip(low, high, strict=True)]


def _blur(values: npt.NDArray[Any], spacing: float) -> npt.NDArray[np.float32]:
    blurred: npt.NDArray[np.float32] = ndimage.gaussian_filter(
        values.astype(np.float32), BLUR / spacing
    )
    return blurred


def _head(spacing: float) -> tuple[Grid, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Grid, signed distance from the brain's surface (mm) and the brain's brightness."""
    signed = _signed_distance()
    grid = signed.grid.with_spacing(spacing)
    return grid, resample(signed, grid).array, resample(template_t1w(), grid).array


@cache
def _signed_distance() -> Volume:
    """Millimetres from the surface of the template's brain, negative inside, at 1 mm."""
    known = template_mask()
    start, stop = [-PAD] * 3, [n + PAD for n in known.grid.shape]
    mask = resample(known, known.grid.crop(start, stop), order=0)
    inside = mask.array > 0
    box = tuple(slice(s.start - 1, s.stop + 1) for s in bounding_box(inside))
    signed = _distance(~inside)
    signed[box] -= _distance(inside[box])
    return mask.with_array(signed)


def _distance(array: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Distance of every voxel from the nearest False, in voxels: scipy's, in half the memory."""
    nearest = ndimage.distance_transform_edt(array, return_distances=False, return_indices=True)
    square = np.zeros(array.shape, np.int32)
    for axis, index in enumerate(np.ogrid[tuple(map(slice, array.shape))]):
        step = nearest[axis] - index.astype(np.int32)
        square += step * step
    return np.sqrt(square, dtype=np.float32)


def _indices(grid: Grid) -> npt.NDArray[np.int64]:
    return np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
