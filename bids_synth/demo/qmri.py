"""qMRI: oxygen extraction and oxygen consumption of the brain by multiparametric qBOLD."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Map = npt.NDArray[Any]

LEAST_CBV = 0.5
"""% below which a voxel holds no brain to speak of: its OEF and CMRO2 are 0."""


def blood_frequency(hct: float) -> float:
    """Frequency shift C in 1/s: R2' = C x OEF x CBV/100, at 3 T; `hct` in %.

    4/3 x 267.61918 x pi x 0.264 x Hct/100 x 0.85 x 3, about 317 1/s at 42 %.

    >>> round(blood_frequency(42.0))
    317
    """
    return 4 / 3 * 267.61918 * np.pi * 0.264 * (hct / 100) * 0.85 * 3


def arterial_oxygen(hct: float, o2sat: float) -> float:
    """Oxygen content of arterial blood CaO2 in umol/100ml; both arguments in %.

    >>> round(arterial_oxygen(42.0, 98.0))
    764
    """
    return 0.334 * hct * 55.6 * o2sat / 100


def oxygen_extraction(cbv: Map, t2: Map, t2star: Map, *, hct: float) -> Map:
    """OEF = R2' / (C CBV/100), R2' = 1/T2* - 1/T2; 0 where CBV is below `LEAST_CBV`.

    `cbv` in %, `t2` and `t2star` in s, `hct` in %. Values above max(5 x median, 1.5) are capped,
    as Epp and others do (two modes of haemodynamics, doi:10.18112/openneuro.ds004873).
    """
    brain = cbv >= LEAST_CBV
    safe = np.where(brain, cbv, 1.0)
    rate = 1 / np.where(brain, t2star, 1.0) - 1 / np.where(brain, t2, 1.0)
    oef = np.where(brain, rate / (blood_frequency(hct) * safe / 100), 0.0)
    cap = max(5 * float(np.median(oef[brain])), 1.5) if brain.any() else 1.5
    return np.asarray(np.minimum(oef, cap))


def oxygen_consumption(
    cbf: Map, cbv: Map, t2: Map, t2star: Map, *, hct: float, o2sat: float
) -> Map:
    """CMRO2 = CBF/0.75 x OEF x CaO2/100 in umol/100g/min; 0.75 corrects background suppression.

    `cbf` in ml/100g/min, `cbv` in %, `t2` and `t2star` in s, `hct` and `o2sat` in %. Up to the
    cap of OEF, Hct cancels.
    """
    oef = oxygen_extraction(cbv, t2, t2star, hct=hct)
    return np.asarray(cbf / 0.75 * oef * arterial_oxygen(hct, o2sat) / 100)
