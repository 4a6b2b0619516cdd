"""Modality: one kind of image, with its BIDS query, its unit and its default scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

ScaleKind = Literal["percentile", "window"]


@dataclass(frozen=True)
class Modality:
    """A kind of image that recipes know."""

    name: str
    """The word used in recipes, on the command line and in reports."""
    datatype: str
    """BIDS folder: anat, ct, pet, perf."""
    suffix: str
    """BIDS suffix of its files."""
    unit: str
    """Unit of its voxel values; `arbitrary` where the scanner's gain is free."""
    scale: ScaleKind = "percentile"
    """How values are mapped to about [0, 1] for a network."""
    window: tuple[float, float] | None = None
    """Values, in `unit`, that a `window` scale maps to 0 and 1."""
    entities: Mapping[str, str | None] = field(default_factory=dict)
    """pybids entities that its query fixes; None means that the entity must be absent."""
    background: float = 0.0
    """Value of air, in `unit`: what a synthetic image holds outside the mask."""

    @property
    def arbitrary(self) -> bool:
        """True where only ratios within an image have a meaning."""
        return self.unit == "arbitrary"


_NO_AGENT: Mapping[str, str | None] = MappingProxyType({"ceagent": None})

_KNOWN = (
    Modality("T1w", "anat", "T1w", "arbitrary", entities=_NO_AGENT),
    Modality("T1wGd", "anat", "T1w", "arbitrary", entities={"ceagent": "gadolinium"}),
    Modality("T2w", "anat", "T2w", "arbitrary", entities=_NO_AGENT),
    Modality("PDw", "anat", "PDw", "arbitrary", entities=_NO_AGENT),
    Modality("FLAIR", "anat", "FLAIR", "arbitrary", entities=_NO_AGENT),
    Modality("ct", "ct", "ct", "HU", "window", (-1024.0, 3000.0), background=-1024.0),
    Modality("pet", "pet", "pet", "SUV", "window", (0.0, 5.0)),
    Modality("cbf", "perf", "cbf", "ml/100g/min", "window", (0.0, 120.0)),
    Modality("cbv", "perf", "cbv", "%", "window", (0.0, 15.0)),
    Modality("T1map", "anat", "T1map", "s", "window", (0.0, 5.0)),
    Modality("T2map", "anat", "T2map", "s", "window", (0.0, 0.25)),
    Modality("T2starmap", "anat", "T2starmap", "s", "window", (0.0, 0.25)),
    Modality("cmro2", "perf", "cmro2", "umol/100g/min", "window", (0.0, 300.0)),
)

MODALITIES: Mapping[str, Modality] = MappingProxyType({m.name: m for m in _KNOWN})
"""Every modality by name. A new one is one more line above."""
