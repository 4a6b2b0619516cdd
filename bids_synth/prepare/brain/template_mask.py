"""The brain mask of a whole head, from the template's tissues and the image's own greys."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.prepare.brain.align_head import align_head
from bids_synth.prepare.brain.head_template import priors
from bids_synth.prepare.brain.region import solid
from bids_synth.prepare.brain.tissue import AIR, ROUNDS, STEADY, Maps, refit, segment
from bids_synth.prepare.registration.ants_runtime import Stage, register
from bids_synth.spatial.grid import Affine, Grid, inverse
from bids_synth.spatial.resample import resample
from bids_synth.spatial.template import template_mask, template_t1w
from bids_synth.spatial.volume import Volume

SPACING = 2.0
"""Voxel size, mm, at which the brain is told from the rest."""
DEEP = 0.95
"""Prior share of the brain above which a voxel is brain, whatever its grey: ventricles that
open to the outside, lesions."""
MATTER = 0.4
"""Share of brain matter above which a voxel is brain, and how like matter its own grey must be:
the dark line between cortex and marrow is thinner than what neighbours agree on."""
NECK = 4.0
"""What is joined to the brain by a bridge thinner than twice this, mm, is not brain: marrow."""
TRUSTS = (0.3, 0.3, 0.3, 0.3, 1.0, 1.0)
"""Powers of the priors, one a refit of the affine. Priors that are trusted in full hold on to
what they lie on, and an affine that starts 15 mm off comes back by 2 to 3 mm a refit."""
AFFINE = (Stage("Affine[0.25]", (100, 50), (2, 1), (1, 0)),)


def mask_by_template(volume: Volume, *, seed: int) -> tuple[Volume, Affine]:
    """uint8 brain mask of a head on its own grid, and the affine template -> `volume`.

    The template is aligned with the head. In the template's space, where nothing depends on
    the grid of the scan, tissues are told apart (`segment`) at 4 mm and the affine is fitted
    to them, again and again, at first with little trust in where they are expected. Then they
    are told apart at 2 mm along the scan's own axes, where nothing is blurred. Grey and white
    matter, closed and filled, are the brain, and so is what lies deep inside the template's:
    fluid on the surface is not, dark or bright.
    """
    affine = fit_affine(volume, align_head(volume, seed=seed), seed=seed)
    grid = _around_brain(volume.grid, affine)
    tissue, alone, inside = _tissue(volume, grid, None, back=inverse(affine))
    brain = matter_mask(tissue[0] + tissue[1], alone, inside, grid.spacing[0])
    smooth = Volume(ndimage.gaussian_filter(brain.astype(np.float32), 0.7), grid)
    return solid_on(smooth, volume.grid), affine


def solid_on(share: Volume, grid: Grid) -> Volume:
    """uint8 on `grid`: where the share of a mask is above half, in one piece and filled.

    Only where voxels of `share` lie is anything looked at.
    """
    ends = [(-1, n) for n in share.grid.shape]
    corners = grid.to_index(share.grid.to_mm(list(product(*ends))))
    start = np.clip(np.floor(corners.min(0)), 0, np.asarray(grid.shape) - 1).astype(int)
    stop = np.clip(np.ceil(corners.max(0)) + 1, start + 1, grid.shape).astype(int)
    there = resample(share, grid.crop(start.tolist(), stop.tolist())).array > 0.5
    mask = np.zeros(grid.shape, np.uint8)
    mask[tuple(map(slice, start, stop))] = solid(there)
    return Volume(mask, grid)


def fit_affine(volume: Volume, affine: Affine, *, seed: int) -> Affine:
    """The affine template -> head that fits the tissues found by it, from one up to 15 mm off."""
    known = priors(2)
    wanted = [max(SPACING, s) for s in volume.grid.spacing]
    copy = resample(volume, volume.grid.with_spacing(wanted))
    for trust in TRUSTS:
        tissue, *_ = _tissue(copy, known.grid, affine, trust=trust)
        affine = refit(tissue, known, affine, seed=seed)
    return affine


def _tissue(
    volume: Volume,
    grid: Grid,
    affine: Affine | None,
    *,
    back: Affine | None = None,
    trust: float = 1.0,
) -> tuple[Maps, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Tissues of a head on `grid`, its greys' likeness to brain, the prior share of the brain.

    `affine` leads from the points of `grid` to the head, `back` to the template; None where
    they are the same points.
    """
    known = priors(1 if affine is None else 2)
    copy = resample(volume, grid, transform=affine)
    everywhere = volume.with_array(np.ones(volume.grid.shape, np.uint8))
    seen = resample(everywhere, grid, transform=affine, order=0).array > 0
    maps, wet = known.maps, known.wet
    if back is not None:
        beyond = [1e-5] * AIR + [1.0, 1e-5]
        maps = np.stack(
            [
                resample(Volume(m, known.grid), grid, transform=back, background=b).array
                for m, b in zip(maps, beyond, strict=True)
            ]
        )
        maps /= maps.sum(0)
        wet = resample(Volume(wet, known.grid), grid, transform=back).array
    rounds = ROUNDS if affine is None else STEADY
    flat = maps**trust / (maps**trust).sum(0)
    spacing = grid.spacing[0]
    tissue, alone = segment(copy.array, flat, spacing=spacing, seen=seen, rounds=rounds)
    return tissue, alone, maps[0] + maps[1] + maps[2] * wet


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
    start = by_moments(resample(template_mask(), grid, order=0), inside)
    return register(fixed, moving, AFFINE, start=start, seed=seed).linear


def matter_mask(
    matter: npt.NDArray[np.float32],
    alone: npt.NDArray[np.float32],
    inside: npt.NDArray[np.float32],
    spacing: float,
) -> npt.NDArray[np.bool_]:
    """Grey and white matter in one piece, closed, and what lies deep inside, without holes."""
    rough = (ndimage.gaussian_filter(matter, 0.5) > MATTER) & (alone > MATTER)
    thin, pad, steps = max(1, round(NECK / spacing)), 4, max(1, round(4.0 / spacing))
    thick = solid(ndimage.binary_opening(rough, iterations=thin))
    core = ndimage.binary_dilation(thick, iterations=thin, mask=rough)
    core |= inside > DEEP
    closed = ndimage.binary_closing(np.pad(core, pad), iterations=steps)
    return solid(closed)[pad:-pad, pad:-pad, pad:-pad]


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


def by_moments(one: Volume, other: Volume) -> Affine:
    """Shift and scales that bring the mask `one` onto the mask `other`."""
    points = [v.grid.to_mm(np.argwhere(v.array > 0)) for v in (one, other)]
    (centre, there), (size, wanted) = [p.mean(0) for p in points], [p.std(0) for p in points]
    start = np.diag([*np.clip(wanted / np.maximum(size, 1e-3), 0.7, 1.4), 1.0])
    start[:3, 3] = there - start[:3, :3] @ centre
    return start
