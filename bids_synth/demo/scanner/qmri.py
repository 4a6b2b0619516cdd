"""qMRI: the closed forms of `physics` as the demo applies them, on heads with little blood."""

from __future__ import annotations

import numpy as np

from bids_synth.physics.formulas import Map, arterial_oxygen, blood_frequency, cmro2, oef

__all__ = [
    "LEAST_CBV",
    "arterial_oxygen",
    "blood_frequency",
    "oxygen_consumption",
    "oxygen_extraction",
]

LEAST_CBV = 0.5
"""% below which a voxel holds no brain to speak of: its OEF and CMRO2 are 0."""


def oxygen_extraction(cbv: Map, t2: Map, t2star: Map, *, hct: float) -> Map:
    """`physics.oef` of the brain; 0 where CBV is below `LEAST_CBV`."""
    brain = cbv >= LEAST_CBV
    return oef(np.where(brain, cbv, 0), t2, t2star, hct=hct, mask=brain)


def oxygen_consumption(
    cbf: Map, cbv: Map, t2: Map, t2star: Map, *, hct: float, o2sat: float
) -> Map:
    """`physics.cmro2` of the brain; 0 where CBV is below `LEAST_CBV`."""
    brain = cbv >= LEAST_CBV
    return cmro2(cbf, np.where(brain, cbv, 0), t2, t2star, hct=hct, o2sat=o2sat, mask=brain)
