"""Bias field: the smooth brightness that a receive coil adds, estimated by N4."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.prepare.brain.region import head_mask
from bids_synth.prepare.registration.ants_runtime import bias_field
from bids_synth.spatial.masked_resample import resample_within
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume

SPACING = 6.0
"""Voxel size, mm, of the copy on which the field is estimated: it is smooth."""


def correct_bias(volume: Volume, within: npt.NDArray[Any] | None = None) -> Volume:
    """The image divided by its bias field; undo by multiplying with `estimate_bias`."""
    return volume.with_array(volume.array / estimate_bias(volume, within).array)


def estimate_bias(volume: Volume, within: npt.NDArray[Any] | None = None) -> Volume:
    """The field on the image's grid, mean 1 inside the head (N4, Tustison 2010).

    `within` is where the image counts, a brain alone: its rim is not taken for shade.
    """
    coarse = volume.grid.with_spacing([max(SPACING, s) for s in volume.grid.spacing])
    copy = resample(volume, coarse)
    if within is not None:
        copy = resample_within(volume, within, coarse)
    head = head_mask(copy)
    field = bias_field(copy, head)
    inside = head.array > 0
    level = float(field.array[inside].mean()) if inside.any() else 1.0
    fine = resample(field.with_array(field.array / level), volume.grid, background=1.0)
    return fine.with_array(np.clip(fine.array, 0.1, 10.0))
