"""Native: the prepared grid of a visit, and the exact way back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_synth.core.visit import Prepared
from bids_synth.errors import VisitError
from bids_synth.recipe.sections.preparation import GridPart
from bids_synth.spatial.boxes import bounding_box
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.masked_resample import resample_within
from bids_synth.spatial.volume import Volume

NEAR = 0.01
"""Relative difference of voxel size below which the scanner's own voxels are kept."""


def prepared_grid(mask: Volume, part: GridPart) -> Grid:
    """The recipe's grid for a reference, from its mask on the native grid.

    The native grid in RAS order, resampled only where its voxels differ from the recipe's by
    more than 1 %, cropped to the mask and `part.margin` mm around it, never beyond the field
    of view. Raises VisitError for an empty mask.
    """
    canonical = mask.canonical()
    if not (canonical.array > 0).any():
        message = "no brain was found in the reference scan; look at it, or give a mask (-d)"
        raise VisitError(message)
    grid = canonical.grid
    if max(abs(s / part.spacing - 1) for s in grid.spacing) >= NEAR:
        grid = grid.with_spacing(part.spacing)
    box = bounding_box(canonical.array)
    faces = canonical.grid.to_mm([[s.start - 0.5 for s in box], [s.stop - 0.5 for s in box]])
    low, high = np.sort(grid.to_index(faces), axis=0)
    margin = part.margin / np.asarray(grid.spacing)
    start = np.maximum(np.floor(low + 0.5 - margin), 0).astype(int)
    stop = np.minimum(np.ceil(high + 0.5 + margin), grid.shape).astype(int)
    return grid.crop([int(a) for a in start], [int(b) for b in stop])


def to_native(
    volume: Volume,
    prepared: Prepared,
    *,
    background: float = 0.0,
    order: int = 3,
    part: Volume | None = None,
) -> Volume:
    """From the prepared grid to the reference's own.

    What lies outside the prepared mask has no influence, and every voxel of the native mask has
    a value of the image: voxel by voxel where the two grids share their voxels, else by
    normalised interpolation of this `order` (cubic, or 1, linear, for what is noise or doubt),
    the nearest value where no prepared voxel reaches. Outside the native mask all is
    `background`. With `part`, uint8 on the prepared grid, only that part of the mask has values.
    """
    volume.require_grid(prepared.grid)
    within, inside = prepared.mask_image, prepared.native_mask_image.array
    if part is not None:
        within, inside = part, inside * part_on_native(part, prepared)
    return resample_within(
        volume, within.array, prepared.native, order=order, background=background, inside=inside
    )


def part_on_native(part: Volume, prepared: Prepared) -> npt.NDArray[np.bool_]:
    """Which voxels of the native grid lie in a part of the mask, by half of their volume."""
    level = part.with_array(part.array.astype(np.float32))
    return np.asarray(to_native(level, prepared, order=1).array > 0.5)
