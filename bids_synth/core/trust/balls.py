"""Balls: how large a region of one kind an image holds: a cyst, a cavity, wide ventricles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.spatial.boxes import bounding_box

SMOOTH = 2.0
"""Standard deviation, mm, of the Gaussian under which noise makes no holes in a region."""
STEP = 2.0
"""Distance, mm, of the voxels that are looked at, or that of the image where it is larger."""
TAIL = 2.0
"""Percentile, from either end, that stands for what is darkest and brightest."""


def ball_figures(
    image: npt.NDArray[Any], inside: npt.NDArray[np.bool_], spacing: Sequence[float]
) -> dict[str, float]:
    """`ball_dark` and `ball_bright` of an image (I, J, K) inside a mask.

    The radius, mm, of the largest ball that fits into what is darker than halfway from the
    median to the darkest, and into what is brighter than halfway to the brightest. White matter
    of a T1w holds one of about 10 mm, ventricles one of 7. NaN for an empty mask.
    """
    if not inside.any():
        return dict.fromkeys(("ball_dark", "ball_bright"), float("nan"))
    box = bounding_box(inside)
    steps = [max(1, int(STEP / s + 0.01)) for s in spacing]
    every = tuple(slice(None, None, step) for step in steps)
    kept = inside[box][every]
    if not kept.any():
        return dict.fromkeys(("ball_dark", "ball_bright"), float("nan"))
    smooth = _inner_mean(image[box].astype(np.float32), inside[box], spacing)[every]
    low, middle, high = np.percentile(smooth[kept], [TAIL, 50, 100 - TAIL])
    apart = [step * s for step, s in zip(steps, spacing, strict=True)]
    return {
        "ball_dark": _radius(kept & (smooth < (low + middle) / 2), apart),
        "ball_bright": _radius(kept & (smooth > (high + middle) / 2), apart),
    }


def _inner_mean(
    image: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_], spacing: Sequence[float]
) -> npt.NDArray[np.float32]:
    """Gaussian means of what is inside, whatever lies outside."""
    sigma = [SMOOTH / s for s in spacing]
    weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma, mode="constant")
    total = ndimage.gaussian_filter(np.where(inside, image, 0), sigma, mode="constant")
    return np.asarray(total / np.maximum(weight, 1e-6), np.float32)


def _radius(region: npt.NDArray[np.bool_], spacing: Sequence[float]) -> float:
    depth = ndimage.distance_transform_edt(np.pad(region, 1), sampling=spacing)
    return float(depth.max())
