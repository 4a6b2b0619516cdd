"""Quantiles: how the scaled values of a modality are distributed in a typical visit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bids_synth.errors import UsageError
from bids_synth.learn.data.array_cache import Stored


def quantiles_of(
    visits: Sequence[Stored], modality: str, shares: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Mean over the visits of the quantiles inside the mask at these shares.

    Raises UsageError where no visit has the modality.
    """
    rows = []
    for visit in (v for v in visits if modality in v.images):
        values = visit.images[modality][np.asarray(visit.mask) > 0]
        rows.append(np.quantile(values.astype(np.float32), shares))
    if not rows:
        message = f"no training visit has a {modality}; choose another split (--split-file)"
        raise UsageError(message)
    return np.asarray(np.mean(rows, axis=0), np.float64)
