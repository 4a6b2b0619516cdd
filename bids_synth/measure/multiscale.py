"""Multi-scale structural similarity in 3D, inside a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

from bids_synth.measure.metrics import WINDOW, require_alike, unknown_of_unknown
from bids_synth.spatial.boxes import bounding_box

Image = npt.NDArray[Any]
Array = npt.NDArray[np.float64]
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, finest first (Wang 2003, section 3.2)."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Local moments of two images in uniform windows of `WINDOW` voxels a side."""

    mean: tuple[Array, Array]
    variance: tuple[Array, Array]
    covariance: Array


def moments(one: Array, other: Array, *, unbiased: bool) -> Moments:
    """Local means, variances and covariance; `unbiased` divides by n - 1 instead of n.

    Beyond an edge the image is mirrored.
    """
    size = WINDOW**one.ndim
    factor = size / (size - 1) if unbiased else 1.0
    means = (uniform_filter(one, WINDOW), uniform_filter(other, WINDOW))

    def spread(a: Array, b: Array, product: Array) -> Array:
        result: Array = factor * (uniform_filter(a * b, WINDOW) - product)
        return result

    return Moments(
        means,
        (spread(one, one, means[0] ** 2), spread(other, other, means[1] ** 2)),
        spread(one, other, means[0] * means[1]),
    )


@unknown_of_unknown
def ms_ssim(real: Image, synthetic: Image, mask: Image, *, data_range: float) -> float:
    """Multi-scale SSIM of two volumes inside the mask (Wang 2003, equation 7), 0 to 1.

    Both images are set to 0 outside the mask and cropped to its bounding box. Contrast and
    structure are compared at every scale, luminance at the coarsest; each scale's mean, negative
    ones taken as 0, has the exponent of `WEIGHTS`. A scale halves the images by the mean of
    2x2x2 voxels, an odd last plane being dropped, and a coarse voxel weighs by its part inside
    the mask. Windows are uniform, 7 voxels a side, K1 0.01 and K2 0.03, variances divided by n.

    Five scales need 112 voxels a side; a smaller box has as many as leave 7 voxels a side at
    the coarsest, and the exponents of those are divided by their sum: `scales_of` tells.
    ValueError where the box is smaller than one window, the mask is empty or shapes differ.
    """
    inside = require_alike(real, synthetic, mask)
    box = bounding_box(inside)
    weight = inside[box].astype(np.float64)
    one, other = (np.where(inside[box], a[box], 0).astype(np.float64) for a in (real, synthetic))
    count = scales_of(weight.shape)
    exponents = np.asarray(WEIGHTS[:count]) / sum(WEIGHTS[:count])
    result = 1.0
    for scale, exponent in enumerate(exponents):
        last = scale == count - 1
        similarity = _similarity(one, other, data_range, luminance=last)
        result *= max(float(np.average(similarity, weights=weight)), 0.0) ** exponent
        if not last:
            one, other, weight = halve(one), halve(other), halve(weight)
    return result


def scales_of(shape: tuple[int, ...]) -> int:
    """Number of scales, at most 5, at which the shortest side still has 7 voxels.

    >>> scales_of((112, 150, 130)), scales_of((111, 150, 130)), scales_of((181, 217, 24))
    (5, 4, 2)
    """
    shortest = min(shape)
    if shortest < WINDOW:
        message = f"the mask spans {shape} voxels; MS-SSIM needs at least {WINDOW} a side"
        raise ValueError(message)
    return min(len(WEIGHTS), 1 + int(np.log2(shortest / WINDOW)))


def halve(array: Array) -> Array:
    """Means of 2x2x2 voxels; an odd last plane is dropped."""
    i, j, k = (n // 2 for n in array.shape)
    blocks = array[: 2 * i, : 2 * j, : 2 * k].reshape(i, 2, j, 2, k, 2)
    return np.asarray(blocks.mean(axis=(1, 3, 5)))


def _similarity(one: Array, other: Array, data_range: float, *, luminance: bool) -> Array:
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    local = moments(one, other, unbiased=False)
    result = (2 * local.covariance + c2) / (local.variance[0] + local.variance[1] + c2)
    if luminance:
        x, y = local.mean
        result = result * (2 * x * y + c1) / (x**2 + y**2 + c1)
    return np.asarray(result)
