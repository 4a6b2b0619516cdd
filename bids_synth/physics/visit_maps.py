"""Closed form: CMRO2, OEF and R2' of a prepared visit by the physics of its own maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.core.coverage import within
from bids_synth.core.visit import Prepared
from bids_synth.physics import formulas as physics
from bids_synth.physics.blood import USUAL, blood_figure

HCT, O2SAT = USUAL["Hct"], USUAL["O2sat"]
LEAST_CBV = 0.5
"""% below which a voxel holds no blood to speak of: its OEF and CMRO2 are 0."""
FWHM = 2 * np.sqrt(2 * np.log(2))
"""Width of a Gaussian at half its height, in standard deviations."""
FASTEST = 30.0
"""R2' in 1/s that a network sees as 1."""


def compute(
    quantity: str, prepared: Prepared, mask: npt.NDArray[Any], *, smoothing: float = 0.0
) -> npt.NDArray[np.float32]:
    """The quantity on the prepared grid: R2' in 1/s, OEF as a fraction, CMRO2 in umol/100g/min.

    Hct and O2sat are columns of participants.tsv where it has them. 0 outside the mask, and where
    a map was not acquired. With
    `smoothing`, mm of a Gaussian at half its height, CMRO2 is that of `physics.regional_oef`.
    """
    mask = within(prepared, physics.NEEDED[quantity], mask)
    maps = {m: prepared.image(m).array for m in physics.NEEDED[quantity]}
    if quantity == "r2prime":
        return np.asarray(physics.r2prime(maps["T2map"], maps["T2starmap"]) * mask, np.float32)
    inside = (mask > 0) & (maps["cbv"] >= LEAST_CBV)
    known = inside
    traits = prepared.visit.traits
    blood, hct = np.where(inside, maps["cbv"], 0), blood_figure("Hct", traits).percent
    times = maps["T2map"], maps["T2starmap"]
    o2sat = blood_figure("O2sat", traits).percent
    if quantity == "oef":
        result = physics.oef(blood, *times, hct=hct, mask=inside)
    elif smoothing > 0:
        sigma = smoothing / FWHM / np.asarray(prepared.grid.spacing)
        weights = np.maximum(maps["cbf"], 0) * inside
        extracted = physics.regional_oef(blood, *times, hct=hct, weights=weights, sigma=sigma)
        result = physics.consumption(maps["cbf"], extracted, hct=hct, o2sat=o2sat)
        known = mask > 0  # Also a voxel without blood of its own lies in a region with some.
    else:
        result = physics.cmro2(maps["cbf"], blood, *times, hct=hct, o2sat=o2sat, mask=inside)
    return np.asarray(result * known, dtype=np.float32)


def held_voxels(prepared: Prepared, mask: npt.NDArray[Any]) -> int:
    """In how many voxels OEF is held at 1, the most that can be extracted."""
    return int((compute("oef", prepared, mask) >= physics.MOST_OEF).sum())


def blood_figures(prepared: Prepared) -> dict[str, float | str]:
    """Haematocrit and arterial saturation, %, that `compute` takes, and whose they are."""
    figures = {name: blood_figure(name, prepared.visit.traits) for name in USUAL}
    percent = {name: figure.percent for name, figure in figures.items()}
    origin = {
        f"{name}From": "participants.tsv" if figure.measured else "usual value"
        for name, figure in figures.items()
    }
    return {**percent, **origin}
