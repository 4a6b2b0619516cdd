"""Similarity: how much two images of different modalities know of one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 64


def mutual_information(
    one: npt.NDArray[Any], other: npt.NDArray[Any], mask: npt.NDArray[Any]
) -> float:
    """Normalised mutual information inside a mask, (H(a) + H(b)) / H(a, b), 1 to 2.

    64 bins between the percentiles 0.5 and 99.5 of each image (Studholme 1999,
    doi:10.1016/S0031-3203(98)00091-0). 1 where the mask is empty or an image constant.
    """
    inside = np.asarray(mask) > 0
    if not inside.any():
        return 1.0
    labels = [_binned(image[inside]) for image in (one, other)]
    joint = np.bincount(labels[0] * BINS + labels[1], minlength=BINS**2)
    table = joint.reshape(BINS, BINS) / joint.sum()
    both = _entropy(table)
    return 1.0 if both == 0 else (_entropy(table.sum(0)) + _entropy(table.sum(1))) / both


def correlation(one: npt.NDArray[Any], other: npt.NDArray[Any], mask: npt.NDArray[Any]) -> float:
    """Absolute Pearson correlation inside a mask; 0 where an image is constant there."""
    inside = np.asarray(mask) > 0
    a, b = (np.asarray(image, dtype=np.float64)[inside] for image in (one, other))
    if a.size < 2 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(abs(np.corrcoef(a, b)[0, 1]))


def _binned(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    low, high = np.percentile(values, [0.5, 99.5])
    if not high > low:
        return np.zeros(values.shape, dtype=np.int64)
    scaled = (values - low) / (high - low) * BINS
    return np.asarray(np.clip(scaled, 0, BINS - 1), dtype=np.int64)


def _entropy(table: npt.NDArray[np.float64]) -> float:
    positive = table[table > 0]
    return float(-(positive * np.log(positive)).sum())
