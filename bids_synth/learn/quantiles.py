"""Quantiles: how the scaled values of a modality are distributed in a typical visit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bids_synth.errors import UsageError
from bids_synth.learn.store import Stored

ENDS = 0.01, 0.99
"""Shares of the first and the last quantile; beyond them is noise."""


def quantiles_of(visits: Sequence[Stored], modality: str, count: int) -> npt.NDArray[np.float64]:
    """Mean over the visits of `count` quantiles inside the mask, at shares that lie evenly.

    Raises UsageError where no visit has the modality.
    """
    shares, found = np.linspace(*ENDS, count), []
    for visit in (v for v in visits if modality in v.images):
        values = visit.images[modality][np.asarray(visit.mask) > 0]
        found.append(np.quantile(values.astype(np.float32), shares))
    if not found:
        message = f"no training visit has a {modality}; choose another split (--split-file)"
        raise UsageError(message)
    return np.asarray(np.mean(found, axis=0), np.float64)
