"""The brain mask of a whole head, from what the network sees and from the head's own greys."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.prepare.brain.template_mask import by_moments, fit_affine, matter_mask, solid_on
from bids_synth.prepare.brain.tissue import Maps, segment
from bids_synth.segmentation.tissues import Tissues, tissues_of
from bids_synth.spatial.grid import Affine
from bids_synth.spatial.resample import resample
from bids_synth.spatial.template import template_mask
from bids_synth.spatial.volume import Volume

BLUR = 3.0
"""Standard deviation, mm, of how far the network's edges may be from the image's."""
SKULL, SOFT = 7.0, 1.5
"""Distance, mm, from the brain at which skull becomes scalp, and over how much."""
DEEP = 15.0
"""Depth, mm, below the brain's outline from which all is brain: ventricles, lesions."""
SMOOTH = 0.7
"""Blur, voxels of 2 mm, of the mask's edge before it is brought to the scan's grid."""
UNLIKELY = 1e-4


def mask_by_network(volume: Volume, *, seed: int) -> tuple[Volume, Affine] | None:
    """uint8 brain mask of a head on its own grid, and the affine template -> `volume`.

    None where no brain is seen. The tissues that the network sees are where each is expected; the
    image's own greys say where it ends (`segment`). As the mask by the template it ends at the
    brain's surface, in every contrast. The template is laid on the mask, and fitted to the
    tissues. ModelError for weights that are missing or altered.
    """
    tissues = tissues_of(volume)
    copy = resample(volume, tissues.grid)
    everywhere = volume.with_array(np.ones(volume.grid.shape, np.uint8))
    seen = resample(everywhere, tissues.grid, order=0).array > 0
    brain = brain_of(copy, seen, tissues)
    if not brain.any():
        return None
    edge = ndimage.gaussian_filter(brain.astype(np.float32), SMOOTH)
    mask = solid_on(copy.with_array(edge), volume.grid)
    start = by_moments(template_mask(), copy.with_array(brain.astype(np.uint8)))
    return mask, fit_affine(copy, start, seed=seed)


def brain_of(copy: Volume, seen: npt.NDArray[np.bool_], tissues: Tissues) -> npt.NDArray[np.bool_]:
    """(I, J, K) where the brain is in an image on the grid of its tissues: one piece, no holes.

    `seen` is where the image has values.
    """
    grid = copy.grid
    outline = np.asarray(ndimage.gaussian_filter(tissues.brain, 1.0) > 0.5)
    if not outline.any():
        return outline
    maps = expected(tissues, outline)
    found, alone = segment(copy.array, maps, spacing=grid.spacing[0], seen=seen)
    depth = ndimage.distance_transform_edt(outline, sampling=grid.spacing)
    deep = np.asarray(depth > DEEP, np.float32)
    return matter_mask(found[0] + found[1], alone, deep, grid.spacing[0])


def expected(tissues: Tissues, outline: npt.NDArray[np.bool_]) -> Maps:
    """Prior probabilities, of sum 1, in the order of `segment`, from what the network sees.

    What it calls head is skull near the brain's outline, and scalp beyond.
    """
    background, head, fluid, grey, white = tissues.maps
    distance = ndimage.distance_transform_edt(~outline, sampling=tissues.grid.spacing)
    near = 1 / (1 + np.exp((distance - SKULL) / SOFT))
    lower = np.zeros_like(background)
    maps = [white, grey, fluid, head * near, head * (1 - near), background, lower]
    blurred = [ndimage.gaussian_filter(m, BLUR / tissues.grid.spacing[0]) for m in maps]
    likely = np.stack(blurred) + UNLIKELY
    return np.asarray(likely / likely.sum(0), np.float32)
