"""Appearance: the noiseless image of a modality from a head's tissues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.demo.head.individual import Individual
from bids_synth.demo.head.shapes import Array
from bids_synth.demo.scanner.qmri import blood_frequency, oxygen_consumption
from bids_synth.demo.scanner.sequence import SEQUENCES
from bids_synth.demo.scanner.signal import inversion_recovery, mprage, spin_echo

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Blood:
    """What the closed form of CMRO2 needs of a participant's blood, in %."""

    hct: float
    o2sat: float


def weights(modality: str, individual: Individual) -> Values:
    """(P, tissues): each tissue's share in the P quantities that mix linearly in a voxel.

    One signal for most modalities; proton density, transverse rates and perfusion for maps.
    """
    tissues = individual.tissues
    settings: dict[str, Any] = dict(SEQUENCES[modality].settings)
    t2star = 1 / (1 / tissues.t2 + _reversible(individual))
    if modality == "T1w":
        return mprage(tissues.pd, tissues.t1, t2star, **settings)[None]
    if modality in ("T2w", "PDw"):
        return spin_echo(tissues.pd, tissues.t1, tissues.t2, **settings)[None]
    if modality == "FLAIR":
        return inversion_recovery(tissues.pd, tissues.t1, tissues.t2, **settings)[None]
    if modality == "ct":
        return tissues.hu[None]
    if modality == "pet":
        return tissues.suv[None]
    return np.stack(
        [
            tissues.cbf,
            tissues.cbv,
            tissues.pd,
            tissues.pd / tissues.t2,
            tissues.pd * _reversible(individual),
        ]
    )


def image(modality: str, parts: Array, blood: Blood) -> Array:
    """The image (I, J, K) in its BIDS unit from the quantities (P, I, J, K) of `weights`."""
    if modality in ("T1w", "T2w", "PDw", "FLAIR"):
        return np.asarray(np.abs(parts[0]))
    if modality in ("ct", "pet"):
        return np.asarray(parts[0])
    cbf, cbv, t2, t2star = _maps(parts)
    if modality == "cmro2":
        cmro2 = oxygen_consumption(cbf, cbv, t2, t2star, hct=blood.hct, o2sat=blood.o2sat)
        return cmro2.astype(np.float32)
    return {"cbf": cbf, "cbv": cbv, "T2map": t2, "T2starmap": t2star}[modality]


def _maps(parts: Array) -> tuple[Array, Array, Array, Array]:
    cbf, cbv, pd, rate, reversible = parts
    wet = pd > 0.1
    safe_pd, safe_rate = np.where(wet, pd, 1), np.where(wet, rate, 1)
    t2 = np.where(wet, safe_pd / safe_rate, 0)
    t2star = np.where(wet, safe_pd / (safe_rate + reversible), 0)
    return cbf, cbv, t2, t2star


def _reversible(individual: Individual) -> Values:
    """R2' in 1/s: deoxygenated blood, and what a tissue has besides."""
    tissues = individual.tissues
    blood = blood_frequency(individual.hct) * tissues.oef * tissues.cbv / 100
    return np.asarray(tissues.r2prime + blood)
