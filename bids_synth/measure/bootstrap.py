"""Bootstrap: how far a mean over participants may be trusted, by scipy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import bootstrap

LEVEL = 0.95
"""Coverage of the interval."""


def interval(values: npt.NDArray[np.float64], *, resamples: int, seed: int) -> tuple[float, float]:
    """Percentile interval of the mean, one value a participant (Efron 1979).

    NaN for both ends with fewer than two participants: one person tells nothing about others.

    >>> interval(np.array([3.0]), resamples=100, seed=1)
    (nan, nan)
    """
    if values.size < 2:
        return float("nan"), float("nan")
    ends = bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(ends.low), float(ends.high)
