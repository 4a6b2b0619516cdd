"""Tissue: what every voxel of a head most likely is, from priors and the image's own greys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.prepare.brain.align_head import CENTRE, SIZE, matrix_of
from bids_synth.prepare.brain.head_template import BLUR, Priors
from bids_synth.spatial.grid import Affine, inverse

Maps = npt.NDArray[np.float32]
"""Probabilities (K, I, J, K) of the tissues of `Priors.maps`."""
AIR = 5
"""Which of the tissues is air."""
ROUNDS = 6
BINS, TOP = 64, 1.3
"""Histogram of greys, from 0 to 1.3 times the 99.5th percentile."""
GREYS = ((np.arange(BINS) + 0.5) / BINS * TOP).astype(np.float32)
BIAS = 24.0
"""Standard deviation, mm, of the smooth field that is divided out."""
POINTS = 8000
STEP = np.array([2.0] * 3 + [1.5] * 3 + [2.0] * 3)
"""Typical changes of shifts (mm), turns (degrees) and log sizes (percent)."""
PULL = 4.0
"""Squared errors that one standard deviation of an unusual size weighs as much as."""
DESCENTS = 12
"""Most steps of a fit."""
STEADY = 3
"""Rounds without the pull of neighbours, of a first look at a coarse copy."""


def segment(
    image: npt.NDArray[Any],
    maps: Maps,
    *,
    spacing: float,
    seen: npt.NDArray[np.bool_],
    rounds: int = ROUNDS,
) -> tuple[Maps, npt.NDArray[np.float32]]:
    """Probabilities of the tissues of an image (I, J, K) from their priors; brain by grey alone.

    The second (I, J, K) is how like brain matter a voxel's grey is, 0 to 1, against fluid and
    skull, whatever is expected there and around it: a thin dark line stays one.

    Expectation maximisation over histograms of greys with a smooth bias field (Ashburner and
    Friston 2005, doi:10.1016/j.neuroimage.2005.02.018) and a pull of neighbours on one
    another; the histograms of the brain's three tissues are held close to a normal curve.
    Where nothing was `seen` the priors stay, and no grey speaks against the brain.
    """
    head = seen & (maps[AIR] < 0.5)
    low, high = np.percentile(image[head] if head.any() else image, [0.5, 99.5])
    grey = ((image - low) / max(high - low, 1e-6)).clip(0.03, 1.2)
    logs = np.log(grey).astype(np.float32)
    bias = np.zeros_like(logs)
    tissue, alone = maps**3 * seen, np.zeros_like(logs)
    for turn in range(rounds):
        bins = np.minimum(np.exp(logs - bias) * (BINS / TOP), BINS - 1).astype(np.int32)
        table = _histograms(bins, tissue)
        chance = maps * np.where(seen, table[:, bins], 1)
        if turn > 1:
            chance *= np.exp(2 * np.stack([ndimage.uniform_filter(t, 3) for t in tissue]))
        tissue = chance / (chance.sum(0) + 1e-20)
        if turn < rounds - 1:
            tissue *= seen
            bias = _bias(logs, tissue, table, spacing)
        else:
            alone = np.where(seen, _matter(table)[bins], 1)
    return np.asarray(tissue, dtype=np.float32), alone


def refit(tissue: Maps, known: Priors, affine: Affine, *, seed: int) -> Affine:
    """The affine, near `affine`, that best lays the template's tissues over those found.

    Least squares between the blurred maps of white matter, grey matter and fluid that were
    found on the grid of `known` by `affine`, and its priors (Levenberg and Marquardt), with
    what is known of the sizes of heads: tissues alone would creep outwards into the skull.
    """
    index = np.argwhere(known.maps[:3].sum(0) > 0.02)
    index = index[np.random.default_rng(seed).permutation(len(index))[:POINTS]]
    points = known.grid.to_mm(index) - CENTRE
    wanted = known.maps[:3][:, index[:, 0], index[:, 1], index[:, 2]]
    blurred = [ndimage.gaussian_filter(t, BLUR / known.grid.spacing[0]) for t in tissue[:3]]
    to_index, back = inverse(known.grid.affine), np.eye(4)
    back[:3, 3] = -CENTRE

    def errors(parameters: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        matrix = matrix_of(parameters, CENTRE)
        index = to_index @ matrix
        at = (points @ index[:3, :3].T + index[:3, 3]).T
        values = [ndimage.map_coordinates(t, at, order=1, mode="nearest") for t in blurred]
        sizes = 100 * np.log(np.linalg.norm((affine @ matrix)[:3, :3], axis=0))
        unusual = np.sqrt(PULL) * (sizes - SIZE[0]) / SIZE[1]
        return np.concatenate([(np.stack(values) - wanted).ravel(), unusual])

    matrix = matrix_of(_least_squares(errors, STEP), CENTRE) @ back
    return np.asarray(affine @ matrix)


def _least_squares(
    errors: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    step: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Parameters, from 0, of least squared errors (Levenberg and Marquardt).

    Slopes are taken over a fifth of `step`, far above the roughness of interpolated maps.
    """
    parameters, damping = np.zeros(len(step)), 1e-2
    now = errors(parameters)
    width = np.diag(step / 5)
    for _ in range(DESCENTS):
        slopes = np.stack([(errors(parameters + w) - now) / 0.2 for w in width])
        square = slopes @ slopes.T
        change = np.linalg.solve(square + damping * np.diag(np.diag(square)), -slopes @ now)
        there = errors(parameters + change * step)
        if there @ there < now @ now:
            parameters, now, damping = parameters + change * step, there, damping / 5
            if np.abs(change).max() < 0.01:
                break
        else:
            damping *= 10
    return parameters


def _histograms(bins: npt.NDArray[np.int32], tissue: Maps) -> Maps:
    flat = bins.ravel()
    counts = np.stack([np.bincount(flat, weights=t.ravel(), minlength=BINS) for t in tissue])
    table = ndimage.gaussian_filter1d(counts, 1.2, axis=1)
    table = table / table.sum(1, keepdims=True) + 1e-3 / BINS
    for row in table[:3]:
        row[:] = 0.97 * _normal(row) + 0.03 * row
    return np.asarray(table, dtype=np.float32)


def _matter(table: Maps) -> npt.NDArray[np.float32]:
    """(BINS,) how like white or grey matter a grey is, against fluid and skull."""
    matter, rest = table[:2].max(0), table[2:4].max(0)
    return np.asarray(matter / (matter + rest), dtype=np.float32)


def _normal(histogram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The normal curve with a histogram's median and interquartile range."""
    share = np.cumsum(histogram) / histogram.sum()
    lower, median, upper = np.interp([0.25, 0.5, 0.75], share, GREYS)
    sd = max((upper - lower) / 1.35, 0.02)
    curve = np.exp(-0.5 * ((GREYS - median) / sd) ** 2)
    return np.asarray(curve / curve.sum(), dtype=np.float64)


def _bias(logs: Maps, tissue: Maps, table: Maps, spacing: float) -> Maps:
    weight = tissue[0] + tissue[1]
    weight *= weight > 0.3
    typical = table[:2] @ np.log(GREYS)
    residual = logs * weight - (tissue[0] * typical[0] + tissue[1] * typical[1]) * (weight > 0)
    field = _smooth(residual, spacing) / (_smooth(weight, spacing) + 0.02)
    return np.asarray(field, dtype=np.float32)


def _smooth(values: Maps, spacing: float) -> Maps:
    """Blur by BIAS at half the resolution, which loses nothing of so smooth a field."""
    coarse = ndimage.gaussian_filter(values[::2, ::2, ::2], BIAS / spacing / 2)
    factors = np.asarray(values.shape) / np.asarray(coarse.shape)
    return np.asarray(ndimage.zoom(coarse, factors, order=1), dtype=np.float32)
