"""Typical: how the scans of a visit compare with those a model has learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_synth.learn.store import scaled_image
from bids_synth.visit import Prepared
from bids_synth.volume import read_mask


@dataclass(frozen=True)
class Range:
    """Mean and standard deviation of one figure over the training visits."""

    mean: float
    sd: float
    count: int
    """Visits that have the figure."""


def figures(prepared: Prepared, modalities: Sequence[str]) -> dict[str, float]:
    """Simple figures of a visit: its quality values, and mean, SD and skewness of each image.

    Named `quality.<name>` and `<modality>.<mean|sd|skewness>`, the latter of scaled values
    inside the mask.
    """
    result = {f"quality.{name}": float(v) for name, v in prepared.quality.items()}
    mask = read_mask(prepared.mask).array
    for modality in (m for m in modalities if m in prepared.images):
        values = scaled_image(prepared, modality, mask)[mask > 0].astype(np.float64)
        mean, sd = values.mean(), max(float(values.std()), 1e-6)
        result[f"{modality}.mean"] = float(mean)
        result[f"{modality}.sd"] = sd
        result[f"{modality}.skewness"] = float((((values - mean) / sd) ** 3).mean())
    return result


def typical_ranges(training: Sequence[Mapping[str, float]]) -> dict[str, Range]:
    """The range of every figure over the training visits."""
    names = sorted({name for visit in training for name in visit})
    ranges = {}
    for name in names:
        values = np.array([visit[name] for visit in training if name in visit])
        values = values[np.isfinite(values)]
        if len(values):
            sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
            ranges[name] = Range(float(values.mean()), sd, len(values))
    return ranges


def deviations(ranges: Mapping[str, Range], visit: Mapping[str, float]) -> dict[str, float]:
    """How many standard deviations each figure of a visit lies from the training mean.

    An SD below 2 % of the mean's size counts as that much, since a handful of training
    visits can agree by chance.

    >>> deviations({"T1w.mean": Range(0.5, 0.1, 9)}, {"T1w.mean": 0.8, "T2w.mean": 1})
    {'T1w.mean': 3.0}
    """
    result = {}
    for name, value in visit.items():
        if name in ranges:
            known = ranges[name]
            spread = max(known.sd, 0.02 * abs(known.mean), 1e-6)
            result[name] = round((value - known.mean) / spread, 6)
    return result
