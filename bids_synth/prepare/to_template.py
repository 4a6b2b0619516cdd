"""To a template: what lies on a visit's prepared grid, resampled once to a standard space."""

from __future__ import annotations

from functools import cache

import numpy as np

from bids_synth.core.settings import OutputSpace
from bids_synth.core.visit import Prepared
from bids_synth.prepare.brain.template_mask import align_brain
from bids_synth.spatial.grid import Affine, Grid, inverse
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.masked_resample import resample_within
from bids_synth.spatial.template import template_t1w
from bids_synth.spatial.volume import Volume, read_grid, read_mask, read_volume


def to_template(
    volume: Volume, prepared: Prepared, space: OutputSpace, *, seed: int, background: float = 0.0
) -> Volume:
    """The values of a volume on the prepared grid at the voxels of a template.

    By the visit's own affine to the embedded template, for another template followed by the
    affine between the two: an affine match of heads, no warp of their folds. Normalised linear
    interpolation inside the visit's mask, once, after smoothing where the template's voxels are
    larger; `background` where less than half of a voxel lies in the mask.
    """
    mask = prepared.mask_image.require_grid(volume.grid)
    to_reference = read_itk(prepared.template) @ _to_embedded(space, seed)
    return resample_within(
        volume,
        mask.array,
        space_grid(space),
        transform=to_reference,
        background=background,
    )


@cache
def space_grid(space: OutputSpace) -> Grid:
    """The grid of a template at its resolution."""
    if space.image is not None:
        return read_grid(space.image)
    grid = template_t1w().grid
    return grid if space.resolution == "1" else grid.with_spacing(float(space.resolution))


@cache
def _to_embedded(space: OutputSpace, seed: int) -> Affine:
    """4x4 affine, RAS+ mm of a template -> the embedded template."""
    if space.image is None or space.mask is None:
        return np.eye(4)
    return inverse(align_brain(read_volume(space.image), read_mask(space.mask), seed=seed))
