"""Tissue: what every voxel of a head most likely is, from priors and the image's own greys."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.optimize import minimize

from bids_synth.grid import Affine, Grid, inverse
from bids_synth.prepare.align_head import CENTRE, matrix_of
from bids_synth.prepare.head_template import BLUR, priors

Maps = npt.NDArray[np.float32]
"""Probabilities (K, I, J, K) of the tissues of `Priors.maps`."""
ROUNDS = 6
BINS, TOP = 64, 1.3
"""Histogram of greys, from 0 to 1.3 times the 99.5th percentile."""
GREYS = ((np.arange(BINS) + 0.5) / BINS * TOP).astype(np.float32)
BIAS = 24.0
"""Standard deviation, mm, of the smooth field that is divided out."""
POINTS = 8000


def segment(image: npt.NDArray[Any], maps: Maps, *, spacing: float) -> Maps:
    """Probabilities of the tissues of an image (I, J, K) from their priors.

    Expectation maximisation over histograms of greys with a smooth bias field (Ashburner and
    Friston 2005, doi:10.1016/j.neuroimage.2005.02.018) and a pull of neighbours on one
    another; the histograms of the brain's three tissues are held close to a normal curve.
    """
    low, high = np.percentile(image, [0.5, 99.5])
    grey = ((image - low) / max(high - low, 1e-6)).clip(0.03, 1.2)
    logs = np.log(grey).astype(np.float32)
    bias = np.zeros_like(logs)
    tissue = maps**3
    for turn in range(ROUNDS):
        bins = np.minimum(np.exp(logs - bias) * (BINS / TOP), BINS - 1).astype(np.int32)
        table = _histograms(bins, tissue)
        found = maps * table[:, bins]
        if turn > 1:
            found *= np.exp(2 * np.stack([ndimage.uniform_filter(t, 3) for t in tissue]))
        tissue = found / (found.sum(0) + 1e-20)
        if turn < ROUNDS - 1:
            bias = _bias(logs, tissue, table, spacing)
    return np.asarray(tissue, dtype=np.float32)


def refit(tissue: Maps, grid: Grid, affine: Affine, *, seed: int) -> Affine:
    """The affine, near `affine`, that best lays the template's tissues over those found.

    Least squares between the blurred maps of white matter, grey matter and fluid.
    """
    known = priors()
    index = np.argwhere(known.maps[:3].sum(0) > 0.02)
    index = index[np.random.default_rng(seed).permutation(len(index))[:POINTS]]
    points = known.grid.to_mm(index) - CENTRE
    wanted = known.maps[:3][:, index[:, 0], index[:, 1], index[:, 2]]
    blurred = [
        ndimage.gaussian_filter(t, BLUR / grid.spacing[0])[::2, ::2, ::2] for t in tissue[:3]
    ]
    there = np.eye(4)
    there[:3, 3] = CENTRE
    base = affine @ there
    to_index = np.diag([0.5, 0.5, 0.5, 1.0]) @ inverse(grid.affine)

    def cost(parameters: npt.NDArray[np.float64]) -> float:
        matrix = to_index @ base @ matrix_of(parameters, np.zeros(3))
        at = (points @ matrix[:3, :3].T + matrix[:3, 3]).T
        errors = [
            ((ndimage.map_coordinates(t, at, order=1, mode="constant") - w) ** 2).mean()
            for t, w in zip(blurred, wanted, strict=True)
        ]
        return float(sum(errors))

    options = {"maxiter": 3, "xtol": 0.1, "ftol": 1e-4, "maxfev": 900}
    best = minimize(cost, np.zeros(9), method="Powell", options=options).x
    return np.asarray(base @ matrix_of(best, np.zeros(3)) @ inverse(there))


def _histograms(bins: npt.NDArray[np.int32], tissue: Maps) -> Maps:
    flat = bins.ravel()
    counts = np.stack([np.bincount(flat, weights=t.ravel(), minlength=BINS) for t in tissue])
    table = ndimage.gaussian_filter1d(counts, 1.2, axis=1)
    table = table / table.sum(1, keepdims=True) + 1e-3 / BINS
    for row in table[:3]:
        row[:] = 0.97 * _normal(row) + 0.03 * row
    return np.asarray(table, dtype=np.float32)


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
