"""The brain mask of a whole head, from the template's tissues and the image's own greys."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.grid import Affine, inverse
from bids_synth.prepare.align_head import align_head
from bids_synth.prepare.ants_runtime import Stage, register
from bids_synth.prepare.head_template import Priors, priors
from bids_synth.prepare.region import solid
from bids_synth.prepare.resample import resample
from bids_synth.prepare.tissue import ROUNDS, STEADY, Maps, refit, segment
from bids_synth.template import template_mask, template_t1w
from bids_synth.volume import Volume

REFITS = 3
"""How often the affine is fitted to the tissues found."""
AFFINE = (Stage("Affine[0.25]", (100, 50), (2, 1), (1, 0)),)


def mask_by_template(volume: Volume, *, seed: int) -> tuple[Volume, Affine]:
    """uint8 brain mask of a head on its own grid, and the affine template -> `volume`.

    The template is aligned with the head; then all is done in the template's space, so that
    nothing depends on the grid that the head was scanned on. Tissues are told apart
    (`segment`) in a 4 mm copy and the affine is fitted anew to them, again and again; then
    they are told apart at 2 mm. Grey and white matter, and the fluid that is inside the template's
    brain, closed and filled, are the brain.
    """
    affine = align_head(volume, seed=seed)
    for _ in range(REFITS):
        tissue = _tissue(volume, affine, thin=2)
        affine = refit(tissue, priors(2), affine, seed=seed)
    tissue = _tissue(volume, affine, thin=1)
    known = priors()
    brain = _brain(tissue, known)
    smooth = Volume(ndimage.gaussian_filter(brain.astype(np.float32), 0.7), known.grid)
    fine = resample(smooth, volume.grid, transform=inverse(affine))
    return fine.with_array(solid(fine.array > 0.5).astype(np.uint8)), affine


def _tissue(volume: Volume, affine: Affine, *, thin: int) -> Maps:
    """Tissues of a head in the template's space, on the grid of its priors."""
    known = priors(thin)
    copy = resample(volume, known.grid, transform=affine)
    everywhere = volume.with_array(np.ones(volume.grid.shape, np.uint8))
    seen = resample(everywhere, known.grid, transform=affine, order=0).array > 0
    return segment(
        copy.array,
        known.maps,
        spacing=known.grid.spacing[0],
        seen=seen,
        rounds=STEADY if thin > 1 else ROUNDS,
    )


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


def _brain(tissue: Maps, known: Priors) -> npt.NDArray[np.bool_]:
    spacing = known.grid.spacing[0]
    matter = tissue[0] + tissue[1]
    rough = ndimage.gaussian_filter(matter, 0.5) > 0.5
    core = ndimage.binary_dilation(solid(ndimage.binary_opening(rough))) & rough
    pad, steps = 4, max(1, round(4.0 / spacing))
    closed = ndimage.binary_closing(np.pad(core, pad), iterations=steps)
    return ndimage.binary_fill_holes(closed)[pad:-pad, pad:-pad, pad:-pad]  # type: ignore[no-any-return]


def _by_moments(one: Volume, other: Volume) -> Affine:
    """Shift and scales that bring the mask `one` onto the mask `other`."""
    points = [v.grid.to_mm(np.argwhere(v.array > 0)) for v in (one, other)]
    (centre, there), (size, wanted) = [p.mean(0) for p in points], [p.std(0) for p in points]
    start = np.diag([*np.clip(wanted / np.maximum(size, 1e-3), 0.7, 1.4), 1.0])
    start[:3, 3] = there - start[:3, :3] @ centre
    return start
