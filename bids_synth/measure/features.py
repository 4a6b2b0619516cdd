"""Distances between images as a network sees them, as pure functions of its features.

Not MONAI's FIDMetric: it needs torch, takes the root of a product that is not symmetric, and
refuses what rounding makes complex there, as with fewer slices than features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

Features = npt.NDArray[Any]
Array = npt.NDArray[np.float64]
_TINY = 1e-10


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network saw in one withheld target, slice by slice or as a whole."""

    participant: str
    """Label without `sub-`."""
    target: str
    sources: str
    """Names joined by `+`."""
    vectors: Mapping[str, tuple[Features, Features]]
    """Method -> feature vectors (N, F) of the real and of its own slices, or volume."""


def frechet_distance(real: Features, synthetic: Features) -> float:
    """Frechet distance of Gaussians fitted to two sets of feature vectors (FID, Heusel 2017).

    `real` (N, F) and `synthetic` (M, F), a row per image or slice, N and M at least 2. Not
    negative, 0 for equal sets, in the square of the features' unit. Covariances divide by
    n - 1. Biased upwards for few rows: compare only values of as many rows and one network.
    NaN where a value is NaN or infinite; ValueError for other shapes.
    """
    one, other = _vectors(real), _vectors(synthetic)
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return float("nan")
    if one.shape[1] != other.shape[1]:
        message = (
            f"feature vectors of {one.shape[1]} and {other.shape[1]} numbers: use one network"
        )
        raise ValueError(message)
    return frechet_of_moments(*_moments(one), *_moments(other))


def frechet_of_moments(
    mean: Array, covariance: Array, other_mean: Array, other_covariance: Array
) -> float:
    """|m - n|^2 + tr(C + D - 2 (C^1/2 D C^1/2)^1/2) of Gaussians (m, C), (n, D) (Dowson 1982).

    Means (F,), covariances (F, F), symmetric and not negative; singular ones, as of fewer rows
    than features, are taken as they are. The symmetric product has only real roots, which those
    of C D are in theory only: no imaginary part need be dropped and nothing be added to C or D.
    """
    root = square_root(covariance)
    middle = linalg.eigvalsh(_symmetric(root @ other_covariance @ root))
    shared = float(np.sqrt(np.clip(middle, 0, None)).sum())
    apart = float(np.square(np.subtract(mean, other_mean)).sum())
    return max(apart + float(np.trace(covariance) + np.trace(other_covariance)) - 2 * shared, 0.0)


def square_root(covariance: Array) -> Array:
    """The symmetric square root of a covariance (F, F); eigenvalues below 0 by rounding are 0.

    >>> square_root(np.diag([4.0, 9.0, 0.0])).diagonal().tolist()
    [2.0, 3.0, 0.0]
    """
    values, vectors = linalg.eigh(_symmetric(covariance))
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)


def perceptual_distance(
    real: Sequence[Features],
    synthetic: Sequence[Features],
    weights: Sequence[Features] | None = None,
) -> float:
    """Distance of two images by the maps of every kept layer (LPIPS, Zhang 2018, equation 1).

    A layer's maps are (F, ...), features first. At each position the vector of features is
    scaled to length 1; squared differences, times the layer's weights (F,), are summed over
    features, averaged over positions and summed over layers. Without weights all are 1, and a
    layer gives 0 to 4. 0 for equal images; blind to the length of feature vectors.
    ValueError where layers, shapes or weights do not fit.
    """
    weights = [np.ones(len(maps)) for maps in real] if weights is None else weights
    if not len(real) == len(synthetic) == len(weights):
        message = (
            f"expected as many layers of each: {len(real)} real, {len(synthetic)} synthetic, "
            f"{len(weights)} weights"
        )
        raise ValueError(message)
    return sum(_layer(*layer) for layer in zip(real, synthetic, weights, strict=True))


def frechet_rows(seen: Sequence[Seen], protocol: str) -> list[dict[str, Any]]:
    """Rows of a summary: one `fid` a target and method over all visits' vectors, no interval.

    NaN where there are fewer than two vectors, as of one visit's volume.
    """
    rows = []
    for target in dict.fromkeys(one.target for one in seen):
        chosen = [one for one in seen if one.target == target]
        sources = {one.sources for one in chosen}
        for method in dict.fromkeys(m for one in chosen for m in one.vectors):
            pairs = [one.vectors[method] for one in chosen if method in one.vectors]
            real, synthetic = (np.concatenate(part) for part in zip(*pairs, strict=True))
            distance = frechet_distance(real, synthetic) if len(real) > 1 else float("nan")
            people = {one.participant for one in chosen if method in one.vectors}
            row: dict[str, Any] = {
                "protocol": protocol,
                "target": target,
                "method": method,
                "metric": "fid",
            }
            row["sources"] = sources.copy().pop() if len(sources) == 1 else "all"
            row |= {"participants": len(people), "mean": distance}
            rows.append(row)
    return rows


def _layer(real: Features, synthetic: Features, weights: Features) -> float:
    if real.shape != synthetic.shape or weights.shape != real.shape[:1]:
        message = (
            f"a layer has maps {real.shape} and {synthetic.shape} and weights {weights.shape}; "
            f"expected equal maps and one weight a feature"
        )
        raise ValueError(message)
    squared = np.square(_unit(real) - _unit(synthetic))
    return float(np.tensordot(weights.astype(np.float64), squared, axes=1).mean())


def _unit(maps: Features) -> Array:
    wide = maps.astype(np.float64)
    return np.asarray(wide / (np.linalg.norm(wide, axis=0) + _TINY))


def _vectors(features: Features) -> Array:
    vectors = np.asarray(features, dtype=np.float64)
    if vectors.ndim != 2 or vectors.shape[0] < 2:
        message = f"expected at least two rows of features (N, F), got shape {vectors.shape}"
        raise ValueError(message)
    return vectors


def _moments(rows: Array) -> tuple[Array, Array]:
    centred = rows - rows.mean(axis=0)
    return rows.mean(axis=0), np.asarray(centred.T @ centred / (len(rows) - 1))


def _symmetric(matrix: Array) -> Array:
    return np.asarray((matrix + matrix.T) / 2)
