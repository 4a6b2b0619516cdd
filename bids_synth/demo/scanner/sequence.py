"""Sequence: how each modality is acquired in the demo dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bids_synth.core.modality import MODALITIES
from bids_synth.demo.scanner.signal import nulling_time
from bids_synth.errors import UsageError


@dataclass(frozen=True)
class Sequence:
    """Settings of one modality's acquisition; times in s, angles in degrees."""

    modality: str
    """A key of `MODALITIES`."""
    spacing: tuple[float, float, float]
    """Voxel size to the right, anterior and superior as multiples of the dataset's."""
    orientations: tuple[str, ...]
    """Axis codes to draw from."""
    oblique: float = 0.0
    """SD in degrees of the tilt of the slices about the left-right axis."""
    group: str = ""
    """Sequences of one group share grid and position; empty where it stands alone."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """Arguments of its signal equation."""
    snr: float = 30.0
    """Signal of white matter over the SD of the noise."""
    psf: float = 0.0
    """Full width at half maximum of the scanner's blur in mm, besides the voxel's."""


_MPRAGE = {"tr": 2.3, "te": 0.003, "ti": 0.9, "flip": 9.0, "spacing": 0.007, "pulses": 176}
_FLAIR = {"tr": 9.0, "te": 0.1, "ti": nulling_time(4.0, 9.0)}


def _map(name: str, snr: float) -> Sequence:
    return Sequence(name, (1, 1, 1.5), ("RAS", "LAS"), group="qmri", snr=snr, psf=2.0)


_ALL = (
    Sequence("T1w", (1, 1, 1), ("RAS", "LAS", "PSR", "LPS"), settings=_MPRAGE, snr=32),
    Sequence(
        "T2w", (1, 1, 1.5), ("LAS", "RAS", "LPS"), 8, settings={"tr": 5.0, "te": 0.09}, snr=30
    ),
    Sequence(
        "PDw", (1, 1, 1.5), ("LAS", "RAS", "LPI"), 8, settings={"tr": 3.0, "te": 0.02}, snr=40
    ),
    Sequence(
        "FLAIR",
        (1, 1, 1.5),
        ("PSR", "LAS"),
        4,
        settings=_FLAIR,
        snr=26,
    ),
    Sequence("ct", (1, 1, 1), ("LPS", "RAS"), 4),
    Sequence("pet", (1.2, 1.2, 1.2), ("RAS", "LAS"), snr=14, psf=5.0),
    _map("cbf", 25),
    _map("cbv", 25),
    _map("T2map", 35),
    _map("T2starmap", 35),
    _map("cmro2", 0),
)

SEQUENCES: Mapping[str, Sequence] = MappingProxyType({one.modality: one for one in _ALL})
"""How every modality of the demo is acquired."""
DEFAULT = ("T1w", "T2w", "PDw")


def choose(modalities: tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    """The modalities to make, T1w first; UsageError names those that are unknown."""
    wanted = DEFAULT if modalities is None else tuple(modalities)
    if unknown := sorted(set(wanted) - set(SEQUENCES)):
        message = (
            f"the demo has no modality {', '.join(unknown)}; choose from {' '.join(SEQUENCES)}"
        )
        raise UsageError(message)
    return ("T1w", *dict.fromkeys(m for m in wanted if m != "T1w"))


def unit(modality: str) -> str:
    """Unit of a modality's voxels."""
    return MODALITIES[modality].unit
