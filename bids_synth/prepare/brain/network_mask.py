"""The brain mask of a whole head, from the tissues that the network of the package sees."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.prepare.brain.region import solid
from bids_synth.segmentation.tissues import Tissues, tissues_of
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume

CLOSED = 4.0
"""Half the width, mm, of furrows on the surface that belong to the brain."""
OPEN, DEEP = 12.0, 6.0
"""The same of ventricles that open to the outside, which end this far, mm, from the skull."""
NECK = 2.0
"""What is joined to the brain by a bridge thinner than twice this, mm, is not brain."""
SMOOTH = 0.7
"""Blur, voxels of 2 mm, of the mask's edge before it is brought to the scan's grid."""


def mask_by_network(volume: Volume) -> Volume:
    """uint8 brain mask of a head on its own grid; empty where no brain is seen.

    Grey and white matter, closed and filled, and the fluid deep inside: as the mask by the
    template, it ends at the brain's surface, dark or bright. ModelError for altered weights.
    """
    tissues = tissues_of(volume)
    brain = brain_of(tissues).astype(np.float32)
    smooth = Volume(ndimage.gaussian_filter(brain, SMOOTH), tissues.grid)
    fine = resample(smooth, volume.grid)
    return fine.with_array(solid(fine.array > 0.5).astype(np.uint8))


def brain_of(tissues: Tissues) -> npt.NDArray[np.bool_]:
    """(I, J, K) where the brain is, up to its surface, in one piece without holes."""
    spacing, pad = tissues.grid.spacing[0], round(2 * OPEN / tissues.grid.spacing[0])
    matter = np.pad(tissues.of("grey").array + tissues.of("white").array > 0.5, pad)
    inside = np.pad(tissues.brain > 0.5, pad)
    core = _widened(solid(_narrowed(matter, NECK / spacing)), NECK / spacing) & matter
    closed = _closed(core, CLOSED / spacing)
    deep = _closed(core, OPEN / spacing) & _narrowed(inside, DEEP / spacing)
    result = solid(closed | deep)
    return result[pad:-pad, pad:-pad, pad:-pad]


def _closed(mask: npt.NDArray[np.bool_], radius: float) -> npt.NDArray[np.bool_]:
    return _narrowed(_widened(mask, radius), radius)


def _widened(mask: npt.NDArray[np.bool_], radius: float) -> npt.NDArray[np.bool_]:
    return np.asarray(ndimage.distance_transform_edt(~mask) <= radius)


def _narrowed(mask: npt.NDArray[np.bool_], radius: float) -> npt.NDArray[np.bool_]:
    return np.asarray(ndimage.distance_transform_edt(mask) > radius)
