"""Training statistics: how the scans of a visit compare with those a model has learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_synth.core.coverage import within
from bids_synth.core.visit import Prepared
from bids_synth.learn.data.array_cache import scaled_image

_OF_ONE = ("registration_", "coverage_")
"""Beginnings of the quality figures that are of one modality each."""


@dataclass(frozen=True)
class Range:
    """Mean and standard deviation of one figure over the training visits."""

    mean: float
    sd: float
    count: int
    """Visits that have the figure."""


def figures(prepared: Prepared, modalities: Sequence[str]) -> dict[str, float]:
    """Simple figures of a visit: its quality values, and mean, SD and skewness of each image.

    Named as in `Prepared.quality`, and `intensity_<mean|sd|skewness>_<modality>` of the scaled
    values inside the mask, where they were acquired; registration and coverage only of
    `modalities`.
    """
    result = {
        name: float(value)
        for name, value in prepared.quality.items()
        if not name.startswith(_OF_ONE) or name.split("_")[1] in modalities
    }
    mask = prepared.mask_image.array
    for modality in (m for m in modalities if m in prepared.images):
        inside = within(prepared, (modality,), mask) > 0
        values = scaled_image(prepared, modality, mask)[inside].astype(np.float64)
        mean, sd = values.mean(), max(float(values.std()), 1e-6)
        result[f"intensity_mean_{modality}"] = float(mean)
        result[f"intensity_sd_{modality}"] = sd
        result[f"intensity_skewness_{modality}"] = float((((values - mean) / sd) ** 3).mean())
    return result


def training_ranges(training: Sequence[Mapping[str, float]]) -> dict[str, Range]:
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
