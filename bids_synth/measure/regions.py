"""Regions: what a synthetic image says of brain regions, against the real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Image = npt.NDArray[Any]
LIMIT = 1.96
"""Standard deviations of the 95 % limits of agreement."""


def region_means(
    real: Image, synthetic: Image, labels: Image, names: Mapping[int, str] | None = None
) -> pd.DataFrame:
    """Means of both images in every region, and the bias of the synthetic one.

    Arrays of one shape; `labels` holds whole numbers, 0 being no region. One row a label that
    has voxels, or with `names` one a named label, in columns `region` (the name, or the label
    as text), `voxels`, `real`, `synthetic`, `bias` = synthetic - real, in the image's unit, and
    `percent_bias` = 100 bias / real. NaN for a named region without voxels, and for a percentage
    of 0. ValueError where shapes differ or a label is negative.
    """
    numbers = _labels(labels, real, synthetic)
    voxels = np.bincount(numbers)
    sums = [
        np.bincount(numbers, weights=a.ravel().astype(np.float64), minlength=voxels.size)
        for a in (real, synthetic)
    ]
    wanted = sorted(names) if names is not None else [int(k) for k in np.flatnonzero(voxels) if k]
    rows = []
    for label in wanted:
        count = int(voxels[label]) if label < voxels.size else 0
        one, other = (float(s[label]) / count if count else float("nan") for s in sums)
        percent = 100 * (other - one) / one if one else float("nan")
        name = names[label] if names is not None else str(label)
        rows.append((name, count, one, other, other - one, percent))
    columns = ["region", "voxels", "real", "synthetic", "bias", "percent_bias"]
    return pd.DataFrame(rows, columns=columns)


def contrast_to_noise(image: Image, inside: Image, reference: Image) -> float:
    """CNR = (mean inside - mean of the reference region) / SD of the reference region.

    The contrast of two regions of ONE image over its noise, which is the standard deviation
    (n - 1) of the reference region's voxels: a region that should be homogeneous, such as
    white matter, cerebellum or air. Signed: negative where the region is the darker. Compare
    the real image's with the synthetic one's: a smooth image has a high CNR by its low noise.
    `inside` and `reference` are masks of the image's shape. NaN where the reference region is
    constant; ValueError for shapes that differ, an empty region or a reference of one voxel.
    """
    if not image.shape == inside.shape == reference.shape:
        message = f"expected one shape, got {image.shape}, {inside.shape}, {reference.shape}"
        raise ValueError(message)
    region, base = (image[np.asarray(m) > 0].astype(np.float64) for m in (inside, reference))
    if region.size == 0 or base.size < 2:
        message = f"a region of {region.size} and a reference of {base.size} voxels; too few"
        raise ValueError(message)
    noise = float(base.std(ddof=1))
    return float(region.mean() - base.mean()) / noise if noise > 0 else float("nan")


@dataclass(frozen=True)
class Agreement:
    """Intraclass correlations of single ratings (Shrout and Fleiss 1979)."""

    absolute: float
    """ICC(2,1): judges drawn at random, so that a bias between them counts."""
    consistent: float
    """ICC(3,1): these very judges, so that a constant bias does not count."""


def intraclass(ratings: Image) -> Agreement:
    """ICC(2,1) and ICC(3,1) of (N, K) ratings: participants down, judges (real, synthetic) across.

    Two-way analysis of variance. At most 1, below 0 where participants differ less than chance.
    NaN where nothing varies. ValueError for fewer than two of either or values not finite.
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all():
        message = (
            f"expected finite ratings of two or more participants by two or more judges, got "
            f"shape {table.shape}"
        )
        raise ValueError(message)
    n, k = table.shape
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    between = k * float(np.square(rows - table.mean()).sum()) / (n - 1)
    judges = n * float(np.square(columns - table.mean()).sum()) / (k - 1)
    rest = table - rows[:, None] - columns[None, :] + table.mean()
    error = float(np.square(rest).sum()) / ((n - 1) * (k - 1))
    within = between + (k - 1) * error
    return Agreement(
        _ratio(between - error, within + k * (judges - error) / n),
        _ratio(between - error, within),
    )


@dataclass(frozen=True)
class Limits:
    """Bias of synthetic - real with the 95 % limits of agreement (Bland and Altman 1986)."""

    bias: float
    low: float
    high: float


def bland_altman(real: Image, synthetic: Image) -> Limits:
    """Mean of synthetic - real, and the mean -+ 1.96 SD (n - 1) of the differences.

    Two arrays (N,), one value a participant; the limits are NaN for a single one. ValueError
    where there is none or the shapes differ.
    """
    if np.shape(real) != np.shape(synthetic) or np.size(real) == 0:
        message = f"expected pairs of values, got shapes {np.shape(real)}, {np.shape(synthetic)}"
        raise ValueError(message)
    difference = np.subtract(synthetic, real, dtype=np.float64)
    bias = float(difference.mean())
    width = LIMIT * float(difference.std(ddof=1)) if difference.size > 1 else float("nan")
    return Limits(bias, bias - width, bias + width)


def _labels(labels: Image, real: Image, synthetic: Image) -> npt.NDArray[np.int64]:
    if not real.shape == synthetic.shape == labels.shape:
        message = (
            f"expected one shape, got real {real.shape}, synthetic {synthetic.shape}, "
            f"labels {labels.shape}"
        )
        raise ValueError(message)
    numbers = np.asarray(np.rint(labels), dtype=np.int64).ravel()
    if numbers.size == 0 or numbers.min() < 0:
        message = "labels must be 0 or more, 0 being no region"
        raise ValueError(message)
    return numbers


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else float("nan")
