"""The brain mask of a whole head, from the template's tissues and the image's own greys."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.grid import Affine, Grid, inverse
from bids_synth.prepare.align_head import align_head
from bids_synth.prepare.ants_runtime import Stage, register
from bids_synth.prepare.head_template import priors
from bids_synth.prepare.region import solid
from bids_synth.prepare.resample import resample
from bids_synth.prepare.tissue import Maps, refit, segment
from bids_synth.template import template_mask, template_t1w
from bids_synth.volume import Volume

SPACING = 2.0
"""Voxel size, mm, at which tissues are told apart."""
AFFINE = (Stage("Affine[0.25]", (100, 50), (2, 1), (1, 0)),)


def mask_by_template(volume: Volume, *, seed: int) -> tuple[Volume, Affine]:
    """uint8 brain mask of a head on its own grid, and the affine template -> `volume`.

    The template is aligned with the head, its tissue priors are brought to a 2 mm copy, and
    tissues are told apart (`segment`); the affine is fitted anew to the tissues found, and
    they are told apart once more. Grey and white matter, closed and filled, are the brain.
    """
    affine = align_head(volume, seed=seed)
    grid = _around_brain(volume.grid, affine)
    copy = resample(volume, grid)
    tissue = segment(copy.array, _placed(grid, affine), spacing=SPACING)
    affine = refit(tissue, grid, affine, seed=seed)
    tissue = segment(copy.array, _placed(grid, affine), spacing=SPACING)
    brain = _brain(tissue[0] + tissue[1], grid.spacing[0])
    smooth = Volume(ndimage.gaussian_filter(brain.astype(np.float32), 0.7), grid)
    fine = resample(smooth, volume.grid)
    return fine.with_array((fine.array > 0.5).astype(np.uint8)), affine


def _placed(grid: Grid, affine: Affine) -> Maps:
    """The priors (K, I, J, K) of the template on the grid of an image."""
    known, back = priors(), inverse(affine)
    maps = np.stack(
        [resample(Volume(m, known.grid), grid, transform=back).array for m in known.maps]
    )
    maps += np.float32(1e-5)
    return np.asarray(maps / maps.sum(0))


def align_brain(reference: Volume, brain: Volume, *, seed: int) -> Affine:
    """4x4 affine, RAS+ mm of the template -> `reference`, whose brain is known."""
    template = template_t1w()
    grid = template.grid.with_spacing(4.0)
    fixed = resample(template, grid)
    wanted = [max(4.0, s) for s in reference.grid.spacing]
    coarse = reference.grid.with_spacing(wanted)
    inside = resample(brain, coarse, order=0)
    moving = resample(reference, coarse)
    moving = moving.with_array(moving.array * (inside.array > 0))
    start = _by_moments(resample(template_mask(), grid, order=0), inside)
    return register(fixed, moving, AFFINE, start=start, seed=seed).linear


def _brain(matter: npt.NDArray[Any], spacing: float) -> npt.NDArray[np.bool_]:
    rough = ndimage.gaussian_filter(matter, 0.5) > 0.5
    core = ndimage.binary_dilation(solid(ndimage.binary_opening(rough))) & rough
    pad, steps = 4, max(1, round(4.0 / spacing))
    closed = ndimage.binary_closing(np.pad(core, pad), iterations=steps)
    return ndimage.binary_fill_holes(closed)[pad:-pad, pad:-pad, pad:-pad]  # type: ignore[no-any-return]


def _around_brain(grid: Grid, affine: Affine) -> Grid:
    """The 2 mm grid around the brain, 20 mm of margin, within the field of view."""
    copy = grid.canonical().with_spacing(SPACING)
    mask = template_mask()
    points = mask.grid.to_mm(np.argwhere(mask.array > 0)[::50])
    index = copy.to_index(points @ affine[:3, :3].T + affine[:3, 3])
    margin = 20.0 / SPACING
    start = np.clip(np.floor(index.min(0) - margin), 0, np.asarray(copy.shape) - 1).astype(int)
    stop = np.clip(np.ceil(index.max(0) + margin), start + 1, copy.shape).astype(int)
    return copy.crop([int(a) for a in start], [int(b) for b in stop])


def _by_moments(one: Volume, other: Volume) -> Affine:
    """Shift and scales that bring the mask `one` onto the mask `other`."""
    points = [v.grid.to_mm(np.argwhere(v.array > 0)) for v in (one, other)]
    (centre, there), (size, wanted) = [p.mean(0) for p in points], [p.std(0) for p in points]
    start = np.diag([*np.clip(wanted / np.maximum(size, 1e-3), 0.7, 1.4), 1.0])
    start[:3, 3] = there - start[:3, :3] @ centre
    return start
