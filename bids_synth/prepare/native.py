"""Native: the prepared grid of a visit, the way there and the exact way back."""

from __future__ import annotations

import numpy as np

from bids_synth.errors import VisitError
from bids_synth.grid import Grid
from bids_synth.parts.preparation import GridPart
from bids_synth.prepare.resample import resample
from bids_synth.visit import Prepared
from bids_synth.volume import Volume

NEAR = 0.01
"""Relative difference of voxel size below which the scanner's own voxels are kept."""


def prepared_grid(mask: Volume, part: GridPart) -> Grid:
    """The recipe's grid for a reference, from its mask on the native grid.

    The native grid in RAS order, resampled only where its voxels differ from the recipe's by
    more than 1 %, cropped to the mask and `part.margin` mm around it, never beyond the field
    of view. Raises VisitError for an empty mask.
    """
    canonical = mask.canonical()
    inside = np.argwhere(canonical.array > 0)
    if inside.size == 0:
        message = "no brain was found in the reference scan; look at it, or give a mask (-d)"
        raise VisitError(message)
    grid = canonical.grid
    if max(abs(s / part.spacing - 1) for s in grid.spacing) >= NEAR:
        grid = grid.with_spacing(part.spacing)
    faces = canonical.grid.to_mm([inside.min(0) - 0.5, inside.max(0) + 0.5])
    low, high = np.sort(grid.to_index(faces), axis=0)
    margin = part.margin / np.asarray(grid.spacing)
    start = np.maximum(np.floor(low + 0.5 - margin), 0).astype(int)
    stop = np.minimum(np.ceil(high + 0.5 + margin), grid.shape).astype(int)
    return grid.crop([int(a) for a in start], [int(b) for b in stop])


def to_native(volume: Volume, prepared: Prepared, *, background: float = 0.0) -> Volume:
    """From the prepared grid to the reference's own; inverse of `from_native`.

    Voxel by voxel (flips, permutation, padding with `background`) where the two grids share
    their voxels, else linear interpolation, which does not ring at the edge of the mask.
    """
    _require(volume, prepared.grid)
    return resample(volume, prepared.native, background=background)


def from_native(volume: Volume, prepared: Prepared, *, background: float = 0.0) -> Volume:
    """From the reference's own grid to the prepared one; inverse of `to_native`."""
    _require(volume, prepared.native)
    return resample(volume, prepared.grid, background=background)


def _require(volume: Volume, grid: Grid) -> None:
    if not volume.grid.matches(grid, tolerance=1e-3):
        message = f"expected a volume on {grid}, got one on {volume.grid}"
        raise ValueError(message)
