"""Levels: how bright the tissues of a brain are in one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Values in order, and what they become; straight between them."""
FAR = 100.0
"""Times the brightest level: how far a curve goes on."""
ALIKE = 0.02
"""Share of the brightest level by which two tissues differ at least, to be told apart."""


@dataclass(frozen=True)
class TissueLevels:
    """Medians of an image in the image's own unit; NaN where a tissue was not found."""

    white: float
    grey: float
    fluid: float


def levels_of(data: Mapping[str, float | None]) -> TissueLevels:
    """Levels from JSON, where what was not found is null.

    >>> levels_of({"white": 2.0, "grey": 1.5, "fluid": None})
    TissueLevels(white=2.0, grey=1.5, fluid=nan)
    """
    return TissueLevels(**{name: float("nan") if v is None else v for name, v in data.items()})


def level_curve(own: TissueLevels, wanted: TissueLevels) -> Curve | None:
    """Values of one image and what they become, so that its tissues lie at `wanted`.

    Straight between the levels that both have, and on beyond the outermost as between the last
    two; through 0 where one tissue alone is known. None where no tissue is known in both, or two
    of them are alike in the image itself.

    >>> curve = level_curve(TissueLevels(1.0, 0.5, 0.0), TissueLevels(1.0, 1.5, 3.5))
    >>> np.interp([0.0, 0.25, 0.5, 1.0, 1.2], *curve).round(6).tolist()
    [3.5, 2.5, 1.5, 1.0, 0.8]
    """
    pairs = zip(astuple(own), astuple(wanted), strict=True)
    known = sorted(pair for pair in pairs if np.isfinite(pair).all())
    if len(known) == 1:
        known = sorted([(0.0, 0.0), *known])
    if len(known) < 2:
        return None
    values, become = np.array(known, np.float64).T
    reach = FAR * np.abs(values).max()
    if (np.diff(values) < ALIKE * reach / FAR).any():
        return None
    slopes = np.diff(become) / np.diff(values)
    first = (values[0] - reach, become[0] - reach * slopes[0])
    last = (values[-1] + reach, become[-1] + reach * slopes[-1])
    ends = np.array([first, *zip(values, become, strict=True), last])
    return ends[:, 0], ends[:, 1]
