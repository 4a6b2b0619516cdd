"""Protocols: named ways to score a synthetic image, so that two scores are comparable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy.typing as npt

from bids_synth.measure.metrics import psnr
from bids_synth.measure.protocols.affine_free import affine_free
from bids_synth.measure.protocols.masked3d import masked3d
from bids_synth.measure.protocols.slices import slices
from bids_synth.measure.protocols.synthrad import synthrad
from bids_synth.spatial.volume import Volume

Protocol = Callable[[Volume, Volume, Volume], dict[str, float]]
"""(real, synthetic, mask) -> every metric of the catalogue, NaN where it is not defined."""

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {"masked3d": masked3d, "synthrad": synthrad, "slices": slices, "affine-free": affine_free}
)
"""Every protocol by the name that recipes and tables use."""

UNITS: Mapping[str, frozenset[str] | None] = MappingProxyType(
    {"masked3d": None, "synthrad": frozenset({"HU"}), "slices": None, "affine-free": None}
)
"""Units in which a protocol has a meaning; None where any has."""
MOST_PSNR = 200.0
"""dB beyond which float32 tells no images apart."""


def applies(protocol: str, unit: str) -> bool:
    """True where a protocol scores images in this unit; KeyError for an unknown protocol.

    >>> applies("synthrad", "HU"), applies("synthrad", "SUV"), applies("masked3d", "SUV")
    (True, False, True)
    """
    units = UNITS[protocol]
    return units is None or unit in units


def prepared_score(
    real: npt.NDArray[Any], synthetic: npt.NDArray[Any], mask: npt.NDArray[Any]
) -> float:
    """The score that selects weights: PSNR (dB) inside the mask of already scaled images.

    At most 200 dB, which is the answer without error; NaN where an image is not finite.
    """
    result = psnr(real, synthetic, mask, data_range=1.0)
    return min(result, MOST_PSNR) if result == result else result
