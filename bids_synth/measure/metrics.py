"""Metrics: image similarity inside a mask, as pure functions of arrays with an explicit range.

All are NaN where a voxel inside the mask is NaN or infinite in either image: an image that is
not whole has no score, good or bad.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.metrics import normalized_mutual_information

from bids_synth.spatial.boxes import bounding_box

Image = npt.NDArray[Any]
WINDOW = 7
"""Edge, in voxels, of the uniform window of `ssim` (Wang 2004 as in scikit-image)."""


def unknown_of_unknown(metric: Callable[..., float]) -> Callable[..., float]:
    """The metric, but NaN where an image is not finite everywhere inside the mask."""

    @wraps(metric)
    def measured(real: Image, synthetic: Image, mask: Image, **options: Any) -> float:
        inside = require_alike(real, synthetic, mask)
        known = all(np.isfinite(image[inside]).all() for image in (real, synthetic))
        return metric(real, synthetic, mask, **options) if known else float("nan")

    return measured


@unknown_of_unknown
def mae(real: Image, synthetic: Image, mask: Image) -> float:
    """Mean absolute error inside the mask, in the unit of the images.

    Arrays of one shape; `mask` is true where a voxel counts. ValueError for an empty mask or
    shapes that differ.

    >>> mae(np.array([1.0, 5.0]), np.array([3.0, 99.0]), np.array([1, 0]))
    2.0
    """
    one, other = _inside(real, synthetic, mask)
    return float(np.abs(one - other).mean())


@unknown_of_unknown
def rmse(real: Image, synthetic: Image, mask: Image) -> float:
    """Root mean square error inside the mask, in the unit of the images.

    >>> rmse(np.array([1.0, 5.0, 0.0]), np.array([4.0, 8.0, 7.0]), np.array([1, 1, 0]))
    3.0
    """
    one, other = _inside(real, synthetic, mask)
    return float(np.sqrt(np.square(one - other).mean()))


@unknown_of_unknown
def psnr(real: Image, synthetic: Image, mask: Image, *, data_range: float) -> float:
    """Peak signal-to-noise ratio inside the mask, dB: 10 log10(data_range^2 / MSE).

    Infinite where the images are equal. `data_range` is the peak, in the images' unit.
    """
    one, other = _inside(real, synthetic, mask)
    error = float(np.square(one - other).mean())
    return float(10 * np.log10(data_range**2 / error)) if error > 0 else float("inf")


@unknown_of_unknown
def ssim(real: Image, synthetic: Image, mask: Image, *, data_range: float) -> float:
    """Mean over the mask of the 3D structural similarity map (Wang 2004), -1 to 1.

    Both images are set to 0 outside the mask, so that nothing there counts, and cropped to
    the mask's bounding box; the map has uniform windows of 7 voxels a side. ValueError where
    that box is smaller than a window.
    """
    inside = require_alike(real, synthetic, mask)
    box = bounding_box(inside)
    inside = inside[box]
    if min(inside.shape) < WINDOW:
        message = f"the mask spans {inside.shape} voxels; SSIM needs at least {WINDOW} a side"
        raise ValueError(message)
    one = np.where(inside, real[box], 0).astype(np.float64)
    other = np.where(inside, synthetic[box], 0).astype(np.float64)
    return float(_similarity(one, other, inside, data_range).mean())


@unknown_of_unknown
def pearson(real: Image, synthetic: Image, mask: Image) -> float:
    """Pearson correlation inside the mask, -1 to 1; NaN where an image is constant."""
    one, other = _inside(real, synthetic, mask)
    one, other = one - one.mean(), other - other.mean()
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.dot(one, other) / norm) if norm > 0 else float("nan")


@unknown_of_unknown
def mutual_information(real: Image, synthetic: Image, mask: Image, *, bins: int = 64) -> float:
    """Normalised mutual information inside the mask (Studholme 1999), 1 to 2.

    1 where knowing one image tells nothing about the other, 2 where it tells all.
    """
    one, other = _inside(real, synthetic, mask)
    return float(normalized_mutual_information(one, other, bins=bins))


def require_alike(real: Image, synthetic: Image, mask: Image) -> npt.NDArray[np.bool_]:
    """The mask as booleans; ValueError where it is empty or the three shapes differ."""
    if not real.shape == synthetic.shape == mask.shape:
        message = (
            f"expected one shape, got real {real.shape}, synthetic {synthetic.shape}, "
            f"mask {mask.shape}"
        )
        raise ValueError(message)
    inside: npt.NDArray[np.bool_] = np.asarray(mask) > 0
    if not inside.any():
        message = "the mask is empty: there is nothing to score"
        raise ValueError(message)
    return inside


def _similarity(
    one: npt.NDArray[np.float64],
    other: npt.NDArray[np.float64],
    inside: npt.NDArray[np.bool_],
    data_range: float,
) -> npt.NDArray[np.float64]:
    """The map of `structural_similarity` at the voxels inside, (V,), in two thirds of its time.

    The sum of the variances needs one filter, and all that follows the voxels inside alone.
    """

    def mean(array: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        values: npt.NDArray[np.float64] = ndimage.uniform_filter(array, WINDOW)[inside]
        return values

    size = WINDOW**one.ndim
    unbiased = size / (size - 1)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    x, y, product = mean(one), mean(other), mean(one * other)
    squares = mean(np.square(one) + np.square(other))
    both, apart = x * y, np.square(x) + np.square(y)
    structure = (2 * unbiased * (product - both) + c2) / (unbiased * (squares - apart) + c2)
    return np.asarray((2 * both + c1) / (apart + c1) * structure)


def _inside(
    real: Image, synthetic: Image, mask: Image
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    inside = require_alike(real, synthetic, mask)
    return real[inside].astype(np.float64), synthetic[inside].astype(np.float64)
