"""Native: the prepared grid of a visit, the way there and the exact way back."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_synth.core.visit import Prepared
from bids_synth.errors import VisitError
from bids_synth.recipe.sections.preparation import GridPart
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.masked_resample import resample_within
from bids_synth.spatial.volume import Volume, read_mask

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


def to_native(
    volume: Volume,
    prepared: Prepared,
    *,
    background: float = 0.0,
    order: int = 3,
    part: Volume | None = None,
) -> Volume:
    """From the prepared grid to the reference's own; inverse of `from_native`.

    What lies outside the prepared mask has no influence, and every voxel of the native mask has
    a value of the image: voxel by voxel where the two grids share their voxels, else by
    normalised interpolation of this `order` (cubic, or 1, linear, for what is noise or doubt),
    the nearest value where no prepared voxel reaches. Outside the native mask all is
    `background`. With `part`, uint8 on the prepared grid, only that part of the mask has values.
    """
    require_grid(volume, prepared.grid)
    within = _mask_on(prepared.grid, prepared.mask)
    inside = _mask_on(prepared.native, prepared.native_mask)
    if part is not None:
        inside = inside.with_array(inside.array * part_on_native(part, prepared))
        within = part
    return _between(volume, within, inside, background, order)


def part_on_native(part: Volume, prepared: Prepared) -> npt.NDArray[np.bool_]:
    """Which voxels of the native grid lie in a part of the mask, by half of their volume."""
    level = part.with_array(part.array.astype(np.float32))
    return np.asarray(to_native(level, prepared, order=1).array > 0.5)


def from_native(
    volume: Volume, prepared: Prepared, *, background: float = 0.0, order: int = 3
) -> Volume:
    """From the reference's own grid to the prepared one; inverse of `to_native`."""
    require_grid(volume, prepared.native)
    within = _mask_on(prepared.native, prepared.native_mask)
    inside = _mask_on(prepared.grid, prepared.mask)
    return _between(volume, within, inside, background, order)


def _mask_on(grid: Grid, path: Path) -> Volume:
    """A mask on its grid to the last digit, which a file keeps only in float32."""
    mask = _mask(path, _changed(path))
    require_grid(mask, grid)
    return Volume(mask.array, grid)


def _between(
    volume: Volume, within: Volume, inside: Volume, background: float, order: int
) -> Volume:
    return resample_within(
        volume,
        within.array,
        inside.grid,
        order=order,
        background=background,
        inside=inside.array,
    )


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


@lru_cache(maxsize=2)
def _mask(path: Path, changed: int) -> Volume:  # noqa: ARG001
    """A mask of the visit at hand, whose images all pass through it one after the other."""
    return read_mask(path)


def require_grid(volume: Volume, grid: Grid) -> None:
    """Raise ValueError where a volume does not lie on this grid."""
    if not volume.grid.matches(grid, tolerance=1e-3):
        message = f"expected a volume on {grid}, got one on {volume.grid}"
        raise ValueError(message)
