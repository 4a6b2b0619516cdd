"""Tissue labels: where the template expects grey and white matter in a visit."""

from __future__ import annotations

import numpy as np

from bids_synth.core.visit import Prepared
from bids_synth.spatial.grid import inverse
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.resample import resample
from bids_synth.spatial.template import template_tissue
from bids_synth.spatial.volume import Volume, read_mask

NAMES = {1: "grey matter", 2: "white matter"}
"""Label -> region."""


def tissue_labels(prepared: Prepared) -> Volume:
    """uint8 labels (`NAMES`) on the reference's native grid, 0 outside the mask.

    A voxel takes the more probable tissue of the template, brought here by the visit's affine,
    where that is more probable than not: coarse at single gyri, sound for means.
    """
    back = inverse(read_itk(prepared.template))
    maps = [
        resample(template_tissue(tissue), prepared.native, transform=back).array
        for tissue in ("gm", "wm")
    ]
    labels = np.where(np.maximum(*maps) > 0.5, np.argmax(maps, axis=0) + 1, 0)
    inside = read_mask(prepared.native_mask)
    return inside.with_array((labels * (inside.array > 0)).astype(np.uint8))
