"""Scan: what the scanner stores, from the noiseless image of a head."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.core.modality import MODALITIES
from bids_synth.demo.head.shapes import Array
from bids_synth.demo.scanner.scanner import ScanPlan, coil, correlated, rician
from bids_synth.demo.scanner.sequence import Sequence

STORED_WHITE = 600.0
"""Stored value of white matter in magnetic resonance images, before the scan's own gain."""
CT_NOISE = 9.0
"""SD in HU."""


def stored(clean: Array, sequence: Sequence, plan: ScanPlan, white: float) -> Any:
    """The noisy image as stored (int16, or float32 for maps and PET), in its BIDS unit.

    `white` is the signal of white matter, which fixes scale and noise of images whose unit is
    arbitrary.
    """
    rng = np.random.default_rng(plan.seed)
    shape = plan.grid.shape
    if MODALITIES[sequence.modality].arbitrary:
        noisy = rician(clean * coil(plan), abs(white) / sequence.snr, rng)
        return _int16(noisy * np.float32(plan.gain * STORED_WHITE / abs(white)), 0, 32767)
    if sequence.modality == "ct":
        return _int16(clean + np.float32(CT_NOISE) * correlated(shape, 0.6, rng), -1024, 3071)
    if sequence.snr == 0:
        return clean
    if sequence.modality == "pet":
        blur = sequence.psf / 2.355 / plan.grid.spacing[0]
        noise = correlated(shape, blur, rng) * np.sqrt(np.abs(clean) * white) / sequence.snr
    else:
        noise = rng.standard_normal(shape, dtype=np.float32) * clean / sequence.snr
    return np.maximum(clean + noise, 0).astype(np.float32)


def noiseless(clean: Array, sequence: Sequence, white: float) -> Array:
    """The image in the same scale, without noise, coil and the scan's own gain."""
    if MODALITIES[sequence.modality].arbitrary:
        return (clean * np.float32(STORED_WHITE / abs(white))).astype(np.float32)
    return clean.astype(np.float32)


def _int16(values: Array, low: int, high: int) -> npt.NDArray[np.int16]:
    return np.rint(np.clip(values, low, high)).astype(np.int16)
