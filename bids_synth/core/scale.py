"""Scale: an invertible map between an image's own unit and the numbers a network sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.core.modality import Modality

LOW, HIGH = 0.5, 99.5
"""Percentiles inside the mask that a `percentile` scale maps to 0 and 1, unless told otherwise."""
SHIFTED = 0.1
"""Share of the range to white matter below 0 from which an image's zero is not that of a scanner:
interpolation and its ringing reach less far."""
SUVR = 4.0
"""Uptake ratio that becomes 1."""
DECADES = 200.0
"""Ratio of the values that a logarithmic window maps to 1 and to 0."""


@dataclass(frozen=True)
class Scale:
    """scaled = (value - offset) / gain, or (ln value - offset) / gain; `invert` is exact.

    A logarithm is taken of no less than what lies one `gain` below the offset.
    """

    offset: float
    """Value, in the image's unit (or its logarithm), that becomes 0."""
    gain: float
    """Difference, in the image's unit (or of logarithms), that becomes 1."""
    log: bool = False
    """True where the logarithm is scaled."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.offset) and np.isfinite(self.gain) and self.gain > 0):
            message = f"a scale needs a finite offset and a positive gain, got {asdict(self)}"
            raise ValueError(message)

    @property
    def span(self) -> float:
        """The difference, in the image's unit, between 0 and 1; of a logarithm the value at 1."""
        return float(np.exp(self.offset + self.gain)) if self.log else self.gain

    def apply(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Image unit -> network numbers."""
        if self.log:
            values = np.log(np.maximum(values, np.exp(self.offset - self.gain)))
        return np.asarray((values - self.offset) / self.gain, dtype=np.float32)

    def invert(self, scaled: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Network numbers -> image unit; the inverse of `apply`.

        >>> scale = Scale(10, 4)
        >>> scale.invert(scale.apply(np.array([10.0, 12.0, 90.0]))).tolist()
        [10.0, 12.0, 90.0]
        """
        values = scaled * self.gain + self.offset
        return np.asarray(np.exp(values) if self.log else values, dtype=np.float32)


def fit_scale(
    modality: Modality,
    values: npt.NDArray[Any],
    *,
    log: bool = False,
    suvr: bool = False,
    percentiles: tuple[float, float] = (LOW, HIGH),
) -> Scale:
    """The scale of one image from its values inside the mask.

    `log` scales the logarithm of a modality with a window, `suvr` divides by the mean of the
    values. Raises ValueError where the values are constant or not finite.
    """
    if suvr and values.size:
        return Scale(0.0, SUVR * float(values.mean()))
    if modality.scale == "window" and modality.window is not None:
        low, high = modality.window
        if log:
            return Scale(float(np.log(high / DECADES)), float(np.log(DECADES)), log=True)
        return Scale(low, high - low)
    if values.size == 0:
        message = f"the {modality.name} has no voxel inside the mask to scale by"
        raise ValueError(message)
    low, high = (float(p) for p in np.percentile(values, percentiles))
    if not high > low:
        message = (
            f"the {modality.name} is constant inside the mask (percentiles {percentiles[0]} and "
            f"{percentiles[1]} are both {low:g}); expected an image with tissue in it"
        )
        raise ValueError(message)
    return Scale(low, high - low)


def white_matter_scale(white: float, values: npt.NDArray[Any]) -> Scale:
    """White matter becomes 1, and 0 stays what it is where nothing shows that it has no meaning.

    `white` and `values`, those inside the mask, are in the image's unit. Where a score of standard
    deviations was written, values lie far below 0, and the lowest percentile becomes 0. Raises
    ValueError where white matter is no brighter than that, or not known.
    """
    low = float(np.percentile(values, LOW)) if values.size else float("nan")
    offset = low if low < -SHIFTED * (white - low) else 0.0
    if not white > offset:
        message = f"white matter at {white:g} is no brighter than {offset:g}, what is darkest"
        raise ValueError(message)
    return Scale(offset, white - offset)


def scale_of_unit(modality: Modality, *, log: bool = False, suvr: bool = False) -> Scale | None:
    """The scale that every image of a modality shares; None where each image has its own.

    With `suvr` the values are uptake ratios, whatever the mean that they were divided by.
    """
    if suvr:
        return Scale(0.0, SUVR)
    if modality.scale != "window" or modality.window is None:
        return None
    return fit_scale(modality, np.empty(0), log=log)


def median_scale(scales: Sequence[Scale]) -> Scale:
    """The median scale of a population: the unit in which a missing image is written."""
    if not scales:
        message = "a typical scale needs at least one scale"
        raise ValueError(message)
    offset = float(np.median([s.offset for s in scales]))
    gain = float(np.median([s.gain for s in scales]))
    return Scale(offset, gain, log=scales[0].log)
