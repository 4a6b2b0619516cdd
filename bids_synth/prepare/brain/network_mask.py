"""The brain mask of a whole head, from what the network sees and from the head's own greys."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.prepare.brain.region import solid
from bids_synth.prepare.brain.template_mask import matter_mask
from bids_synth.prepare.brain.tissue import Maps, segment
from bids_synth.segmentation.tissues import Tissues, tissues_of
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume

BLUR = 3.0
"""Standard deviation, mm, of how far the network's edges may be from the image's."""
SKULL, SOFT = 7.0, 1.5
"""Distance, mm, from the brain at which skull becomes scalp, and over how much."""
DEEP = 10.0
"""Depth, mm, below the brain's outline from which all is brain: ventricles, lesions."""
SMOOTH = 0.7
"""Blur, voxels of 2 mm, of the mask's edge before it is brought to the scan's grid."""
UNLIKELY = 1e-4


def mask_by_network(volume: Volume) -> Volume:
    """uint8 brain mask of a head on its own grid; empty where no brain is seen.

    The tissues that the network sees are where each is expected; the image's own greys say where
    it ends (`segment`). As the mask by the template it ends at the brain's surface, in every
    contrast. ModelError for weights that are missing or altered.
    """
    tissues = tissues_of(volume)
    if not (tissues.brain > 0.5).any():
        return volume.with_array(np.zeros(volume.grid.shape, np.uint8))
    brain = brain_of(volume, tissues).astype(np.float32)
    fine = resample(Volume(ndimage.gaussian_filter(brain, SMOOTH), tissues.grid), volume.grid)
    return fine.with_array(solid(fine.array > 0.5).astype(np.uint8))


def brain_of(volume: Volume, tissues: Tissues) -> npt.NDArray[np.bool_]:
    """(I, J, K) where the brain is on the grid of its tissues, in one piece without holes."""
    grid = tissues.grid
    everywhere = volume.with_array(np.ones(volume.grid.shape, np.uint8))
    seen = resample(everywhere, grid, order=0).array > 0
    outline = ndimage.gaussian_filter(tissues.brain, 1.0) > 0.5
    maps = expected(tissues, outline)
    copy = resample(volume, grid).array
    found, alone = segment(copy, maps, spacing=grid.spacing[0], seen=seen)
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
