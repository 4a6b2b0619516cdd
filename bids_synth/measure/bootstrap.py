"""Bootstrap: how far a mean over participants may be trusted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEVEL = 95.0
"""Coverage of the interval, percent."""


def interval(values: npt.NDArray[np.float64], *, resamples: int, seed: int) -> tuple[float, float]:
    """Percentile interval of the mean, one value a participant (Efron 1979).

    NaN for both ends with fewer than two participants: one person tells nothing about others.

    >>> interval(np.array([3.0]), resamples=100, seed=1)
    (nan, nan)
    """
    if values.size < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    drawn = rng.integers(values.size, size=(resamples, values.size))
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(values[drawn].mean(axis=1), [tail, 100 - tail])
    return float(low), float(high)
