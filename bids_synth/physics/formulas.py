"""Physics: oxygen extraction and consumption of the brain by multiparametric qBOLD.

Closed forms of Epp and others (two modes of haemodynamics, doi:10.18112/openneuro.ds004873), for
3 T. Maps are arrays of one shape; percentages are percentages, not fractions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Map = npt.NDArray[Any]

NEEDED = {
    "r2prime": ("T2map", "T2starmap"),
    "oef": ("cbv", "T2map", "T2starmap"),
    "cmro2": ("cbf", "cbv", "T2map", "T2starmap"),
}
"""Quantity -> the maps that its closed form needs."""
MOST_OEF = 1.0
"""More oxygen than the blood brings cannot be extracted; what noise puts above is held there."""
SHORTEST = 1e-6
"""s: a relaxation time that is no longer was not measured."""
LEAST_SHARE = 1e-6
"""Part of the most blood under a Gaussian below which nothing is known of a voxel."""


def can_compute(quantity: str, present: Collection[str]) -> bool:
    """True where all maps that the closed form needs are present."""
    return quantity in NEEDED and set(NEEDED[quantity]) <= set(present)


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


def r2prime(t2: Map, t2star: Map) -> Map:
    """Reversible transverse rate R2' = 1/T2* - 1/T2 in 1/s, at least 0; the times in s.

    0 where T2* exceeds T2, which is noise, and where a time is not measured.

    >>> r2prime(np.array([0.1, 0.1, 0.0]), np.array([0.05, 0.2, 0.05])).tolist()
    [10.0, 0.0, 0.0]
    """
    measured = (t2 > SHORTEST) & (t2star > SHORTEST)
    rate = 1 / np.where(measured, t2star, 1) - 1 / np.where(measured, t2, 1)
    return np.asarray(np.maximum(rate, 0))


def oef(cbv: Map, t2: Map, t2star: Map, *, hct: float, mask: Map | None = None) -> Map:
    """Oxygen extraction fraction OEF = R2' / (C CBV/100), 0 to 1; 0 where CBV is not positive.

    `cbv` in %, `t2` and `t2star` in s, `hct` in %. 0 outside the mask, where one is given.
    """
    holds_blood = cbv > 0
    safe = np.where(holds_blood, cbv, 1)
    rate = r2prime(t2, t2star)
    extracted = np.where(holds_blood, rate / (blood_frequency(hct) * safe / 100), 0)
    inside = True if mask is None else np.asarray(mask) > 0
    return np.asarray(np.where(inside, np.minimum(extracted, MOST_OEF), 0))


def regional_oef(
    cbv: Map, t2: Map, t2star: Map, *, hct: float, weights: Map, sigma: Sequence[float]
) -> Map:
    """OEF from R2' and CBV that are averaged first, so that their noise does not multiply.

    OEF = G(w R2') / (C G(w CBV)/100), G a Gaussian of `sigma` voxels along each axis, w the
    `weights` of voxels, (I, J, K). Extraction differs little within a healthy brain and smoothly
    in a diseased one, while the quotient of single voxels is mostly noise. R2' counts at most its
    99th percentile, OEF at most 1; 0 far from all weights. As `oef` where sigma is 0.
    """
    weights = np.where(cbv > 0, weights, 0).astype(np.float64)
    rate = r2prime(t2, t2star)
    rate = np.minimum(rate, np.percentile(rate[weights > 0], 99)) if weights.any() else rate
    blood = blood_frequency(hct) * np.maximum(cbv, 0) / 100
    over, under = (ndimage.gaussian_filter(weights * a, sigma) for a in (rate, blood))
    known = under > LEAST_SHARE * under.max()
    return np.asarray(np.minimum(np.where(known, over / np.where(known, under, 1), 0), MOST_OEF))


def cmro2(
    cbf: Map,
    cbv: Map,
    t2: Map,
    t2star: Map,
    *,
    hct: float,
    o2sat: float,
    mask: Map | None = None,
) -> Map:
    """CMRO2 = CBF/0.75 x OEF x CaO2/100 in umol/100g/min; 0.75 corrects background suppression.

    `cbf` in ml/100g/min, `cbv` in %, `t2` and `t2star` in s, `hct` and `o2sat` in %; `mask` as in
    `oef`. Where OEF is below 1, Hct cancels: about 3.215 CBF R2' / CBV at 98 % saturation.
    """
    return consumption(cbf, oef(cbv, t2, t2star, hct=hct, mask=mask), hct=hct, o2sat=o2sat)


def consumption(cbf: Map, extracted: Map, *, hct: float, o2sat: float) -> Map:
    """CMRO2 in umol/100g/min from CBF in ml/100g/min and OEF as a fraction, as in `cmro2`."""
    return np.asarray(cbf / 0.75 * extracted * arterial_oxygen(hct, o2sat) / 100)
