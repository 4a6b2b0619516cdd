"""Outliers: single voxels that no tissue can explain, and integers that ran over their end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.spatial.volume import Volume

ROBUST = (0.5, 99.5)
"""Percentiles between which an image is believed."""
BEYOND = 1.0
"""How many such ranges beyond its end a value must lie."""
ISOLATED = {True: 3.0, False: 5.0}
"""How many times brighter than its brightest neighbour an outlier is, in images of arbitrary
unit and in maps of a physical one, whose vessels and lesions count. A point-spread function
shares what is real with the neighbours: vessels, fat and contrast agent stay far below."""
LARGEST = 27
"""Voxels of one outlier, unless it lies in the outermost plane of the image."""
CUBE = np.ones((3, 3, 3), np.bool_)
SAMPLE = 2_000_000
"""Voxels that percentiles are taken from."""
WORDS = (1 << 16, 1 << 12, 1 << 8)
"""Numbers that unsigned integers of 16, 12 and 8 bits can tell apart."""
NEAR_END = 0.8
"""How close to both ends of the signed range, as a share of it, values of wrapped ones come."""
SMOOTHER = 0.95
"""Share of the steps between neighbours that is left at most when wrapped numbers are unwrapped;
of noise, all of it is left."""
CLIPPED = 0.01
"""Share of voxels of exactly the largest value above which an image was cut off there."""

Array = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Mended:
    """A scan without what its voxels cannot have meant, and what was done."""

    volume: Volume
    held: int
    """Voxels that were held back."""
    notes: tuple[str, ...]
    """What was seen, in one line each."""


def mend(volume: Volume, *, step: float | None) -> Mended:
    """Unwrap integers and hold outliers back; a scan that has neither comes back as it is.

    `step` is the value of one stored integer, None where the stored numbers had no sign of
    their own (real numbers, unsigned ones, or those with an intercept). Raises ValueError,
    with the reason, where integers seem wrapped and unwrapping does not make an image of them.
    """
    notes = []
    if step is not None and (word := _wrapped(volume.array, step)):
        array, note = _unwrapped(volume.array, word)
        volume = volume.with_array(array)
        notes.append(note)
    wrong = outliers(volume)
    held = int(wrong.sum())
    if held:
        volume = volume.with_array(_replaced(volume.array, wrong))
        notes.append(
            f"{held:,} voxel{'s' * (held > 1)} far outside the range of the image and of "
            "their neighbours (spikes) are held back, at the median of the voxels around them"
        )
    share = _clipped(volume.array)
    if share > CLIPPED:
        notes.append(
            f"{100 * share:.1f} % of the voxels have exactly the largest value: was the image "
            "cut off there (saturated)? What was brighter is lost"
        )
    return Mended(volume, held, tuple(notes))


def outliers(volume: Volume) -> Bools:
    """True (I, J, K) where a voxel is far beyond the image's range and its neighbours'.

    Small groups count as one; so does what fills no more than the outermost plane of voxels,
    where scanners leave rows of rubbish.
    """
    ratio = ISOLATED[volume.unit == "arbitrary"]
    low, high = np.percentile(_thinned(volume.array[1:-1, 1:-1, 1:-1]), ROBUST)
    reach = BEYOND * (high - low)
    wrong = np.zeros(volume.array.shape, np.bool_)
    if not high > low:
        return wrong
    for values, base, end in ((volume.array, low, high), (-volume.array, -high, -low)):
        extreme = values > end + reach
        if extreme.any():
            least = 0.1 * (end - base)
            wrong |= _rubbish(values, extreme, base=base, least=least, ratio=ratio)
            wrong |= _spikes(values, extreme & ~wrong, base=base, least=least, ratio=ratio)
    return wrong


def _rubbish(values: Array, extreme: Bools, *, base: float, least: float, ratio: float) -> Bools:
    """Extreme voxels of the outermost planes that stand far out of the planes below."""
    result = np.zeros_like(extreme)
    for axis in range(3):
        for face, below in ((0, 1), (-1, -2)):
            outer, inner = (tuple(_plane(axis, n)) for n in (face, below))
            if not extreme[outer].any():
                continue
            calm = np.where(extreme[inner], base, values[inner])
            beside = np.maximum(ndimage.maximum_filter(calm, 3) - base, least)
            result[outer] |= extreme[outer] & (values[outer] - base > ratio * beside)
    return result


def _plane(axis: int, number: int) -> list[slice | int]:
    return [number if a == axis else slice(None) for a in range(3)]


def _spikes(values: Array, extreme: Bools, *, base: float, least: float, ratio: float) -> Bools:
    """Small groups of extreme voxels that stand far out of the voxels around them."""
    labels, _ = ndimage.label(extreme, CUBE)
    result = np.zeros_like(extreme)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        around = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
        group = labels[around] == number
        if group.sum() > LARGEST:
            continue
        beside = values[around][ndimage.binary_dilation(group, CUBE) & ~extreme[around]]
        brightest = max(float(beside.max(initial=base)) - base, least)
        result[around] |= group & (values[around] - base > ratio * brightest)
    return result


def _replaced(array: Array, outliers: Bools) -> Array:
    """The image with the median of the good voxels around each outlier."""
    result = array.copy()
    usual = np.median(_thinned(array))
    for place in np.argwhere(outliers):
        result[tuple(place)] = usual
        for reach in (1, 2, 3):
            around = tuple(slice(max(p - reach, 0), p + reach + 1) for p in place)
            good = array[around][~outliers[around]]
            if good.size:
                result[tuple(place)] = np.median(good)
                break
    return result


def _wrapped(array: Array, step: float) -> float:
    """The span of wrapped integers in the image's values, or 0 where none are seen.

    Wrapped ones reach both ends of the signed range, and steps of more than half of the span
    lie between neighbours.
    """
    lowest, highest = float(array.min()), float(array.max())
    for word in WORDS:
        span = word * step
        half = span / 2
        full = -half <= lowest < -NEAR_END * half and NEAR_END * half < highest < half
        if full and _jumps(array, half) > 1e-3 * array.size:
            return span
    return 0.0


def _unwrapped(array: Array, span: float) -> tuple[Array, str]:
    seen = (
        f"{100 * float((array < 0).mean()):.0f} % of the voxels are negative next to the "
        "brightest ones: unsigned numbers stored as signed?"
    )
    result = np.where(array < 0, array + np.float32(span), array).astype(np.float32)
    if _steps(result) > SMOOTHER * _steps(array):
        message = f"{seen} Convert it anew from DICOM"
        raise ValueError(message)
    return result, f"{seen} They are read as unsigned"


def _jumps(array: Array, least: float) -> int:
    return sum(int((np.abs(np.diff(array, axis=a)) > least).sum()) for a in range(3))


def _steps(array: Array) -> float:
    return sum(float(np.abs(np.diff(array, axis=a)).sum(dtype=np.float64)) for a in range(3))


def _clipped(array: Array) -> float:
    """Share of the voxels of the largest value, in an image of many values."""
    top = array.max()
    share = float((array == top).mean())
    if share <= CLIPPED:
        return share
    few = len(np.unique(_thinned(array))) < 32
    return 0.0 if few else share


def _thinned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.ravel()[:: max(1, array.size // SAMPLE)]
