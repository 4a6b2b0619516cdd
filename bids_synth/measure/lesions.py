"""Lesions: which of them a synthetic image keeps, which it erases, and what it invents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Image = npt.NDArray[Any]
Where = npt.NDArray[np.bool_]
SMALLEST = 10.0
"""Volume, mm3, below which a lesion is a few voxels of any scan."""
AROUND = 3.0
"""mm around a lesion that it is compared with."""
VISIBLE = 2.0
"""Contrast to noise from which the real image shows a lesion at all."""
KEPT, ERASED = 0.5, 0.25
"""Shares of the real contrast from which a lesion counts as kept, and below which as erased."""
RARE, USUAL = 99.0, 95.0
"""Percentiles: of the synthetic image, what stands out; of the real one, what does not."""
BLOB = 30.0
"""Volume, mm3, of the smallest blob that may have been invented."""
DEEP = 5.0
"""Depth, mm, below the mask's edge at which blobs are looked for: rims and vessels are bright."""
MAD = 1.4826


@dataclass(frozen=True)
class LesionScore:
    """One lesion in both images."""

    volume: float
    """mm3."""
    real: float
    """Contrast to what lies around it over the noise there, both of the real image."""
    synthetic: float
    """Contrast in the synthetic image over that same noise."""
    wider: float = float("nan")
    """Half the width of the interval in it over that around it; NaN where there is none."""

    @property
    def visible(self) -> bool:
        """Whether the real image shows it."""
        return abs(self.real) >= VISIBLE

    @property
    def share(self) -> float:
        """Contrast of the synthetic image as a share of the real one."""
        return self.synthetic / self.real

    @property
    def fate(self) -> str:
        """`kept`, `faded` or `erased`."""
        if self.share >= KEPT:
            return "kept"
        return "erased" if self.share < ERASED else "faded"


def lesion_scores(
    real: Image,
    synthetic: Image,
    lesions: Where,
    inside: Where,
    spacing: Sequence[float],
    half_width: Image | None = None,
) -> list[LesionScore]:
    """Every connected lesion of `SMALLEST` or more inside the mask; arrays of one shape.

    Images are on one scale. The surroundings of a lesion are what lies within `AROUND` of it and
    in no lesion; the noise is their robust standard deviation in the real image.
    """
    marked = lesions & inside
    labels, _ = ndimage.label(marked, ndimage.generate_binary_structure(3, 3))
    voxel = float(np.prod(spacing))
    margin = [int(np.ceil(AROUND / s)) + 1 for s in spacing]
    scores = []
    for number, found in enumerate(ndimage.find_objects(labels), start=1):
        box = tuple(
            slice(max(0, part.start - m), part.stop + m)
            for part, m in zip(found, margin, strict=True)
        )
        own = labels[box] == number
        near = ndimage.distance_transform_edt(~own, sampling=spacing) <= AROUND
        around = near & inside[box] & ~lesions[box]
        if own.sum() * voxel < SMALLEST or not around.any():
            continue
        level = np.median(real[box][around])
        noise = MAD * float(np.median(np.abs(real[box][around] - level)))
        if not noise > 0:
            continue
        shown, made = (
            float(np.median(image[box][own]) - np.median(image[box][around])) / noise
            for image in (real, synthetic)
        )
        wider = float("nan")
        if half_width is not None:
            wider = float(half_width[box][own].mean() / max(half_width[box][around].mean(), 1e-9))
        scores.append(LesionScore(float(own.sum()) * voxel, shown, made, wider))
    return scores


def invented(
    real: Image, synthetic: Image, inside: Where, spacing: Sequence[float], *, bright: bool = True
) -> tuple[int, float]:
    """Blobs that stand out of the synthetic image and not of the real one: number and mm3.

    Deep inside, connected voxels above the 99th percentile of the synthetic image (below the
    first where lesions are dark) in which the median of the real image is below its 95th.
    """
    sign = 1 if bright else -1
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=spacing)
    deep = inside & (depth[1:-1, 1:-1, 1:-1] > DEEP)
    if not deep.any():
        return 0, 0.0
    one, other = sign * real, sign * synthetic
    limit, usual = np.percentile(other[deep], RARE), np.percentile(one[deep], USUAL)
    labels, _ = ndimage.label(deep & (other > limit))
    voxel, count, volume = float(np.prod(spacing)), 0, 0.0
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        own = labels[box] == number
        size = float(own.sum()) * voxel
        if size >= BLOB and float(np.median(one[box][own])) < usual:
            count, volume = count + 1, volume + size
    return count, volume
