"""Scale: an invertible map between an image's own unit and the numbers a network sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.modality import Modality

LOW, HIGH = 0.5, 99.5
"""Percentiles inside the mask that a `percentile` scale maps to 0 and 1."""


@dataclass(frozen=True)
class Scale:
    """scaled = (value - offset) / gain; never clipped, so that `invert` is exact."""

    offset: float
    """Value, in the image's unit, that becomes 0."""
    gain: float
    """Difference, in the image's unit, that becomes 1."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.offset) and np.isfinite(self.gain) and self.gain > 0):
            message = f"a scale needs a finite offset and a positive gain, got {asdict(self)}"
            raise ValueError(message)

    def apply(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Image unit -> network numbers."""
        return ((values - self.offset) / self.gain).astype(np.float32)

    def invert(self, scaled: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Network numbers -> image unit; the inverse of `apply`.

        >>> scale = Scale(10, 4)
        >>> scale.invert(scale.apply(np.array([10.0, 12.0, 90.0]))).tolist()
        [10.0, 12.0, 90.0]
        """
        return (scaled * self.gain + self.offset).astype(np.float32)


def fit_scale(modality: Modality, values: npt.NDArray[Any]) -> Scale:
    """The scale of one image from its values inside the mask.

    Raises ValueError where the values are constant or not finite.
    """
    if modality.scale == "window" and modality.window is not None:
        low, high = modality.window
        return Scale(low, high - low)
    if values.size == 0:
        message = f"the {modality.name} has no voxel inside the mask to scale by"
        raise ValueError(message)
    low, high = (float(p) for p in np.percentile(values, [LOW, HIGH]))
    if not high > low:
        message = (
            f"the {modality.name} is constant inside the mask (percentiles {LOW} and {HIGH} "
            f"are both {low:g}); expected an image with tissue in it"
        )
        raise ValueError(message)
    return Scale(low, high - low)


def typical_scale(scales: Sequence[Scale]) -> Scale:
    """The median scale of a population: the unit in which a missing image is written."""
    if not scales:
        message = "a typical scale needs at least one scale"
        raise ValueError(message)
    offset = float(np.median([s.offset for s in scales]))
    gain = float(np.median([s.gain for s in scales]))
    return Scale(offset, gain)
