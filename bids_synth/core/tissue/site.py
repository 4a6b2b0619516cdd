"""Site: how bright tissues are in a dataset's own scans of one modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_synth.core.scale import Scale, median_scale
from bids_synth.core.tissue.levels import TissueLevels


@dataclass(frozen=True)
class Donor:
    """One participant's real scan of a modality, as the levels of its tissues."""

    participant: str
    """Label without `sub-`."""
    levels: TissueLevels
    scale: Scale
    """As the recipe scales it."""


@dataclass(frozen=True)
class Site:
    """What a synthetic image of a modality is brought to, to look as the scanner's own."""

    white: float
    """Level of white matter, in the unit of the scans."""
    scale: Scale
    """Of those scans: what scaled numbers mean in their unit."""
    donors: tuple[str, ...]
    """Participants whose scans they are."""


def site_of(donors: Sequence[Donor]) -> Site | None:
    """The median of some donors; None where nobody has white matter."""
    known = [d for d in donors if np.isfinite(d.levels.white) and d.levels.white > 0]
    if not known:
        return None
    white = float(np.median([d.levels.white for d in known]))
    names = tuple(d.participant for d in known)
    return Site(white, median_scale([d.scale for d in known]), names)
