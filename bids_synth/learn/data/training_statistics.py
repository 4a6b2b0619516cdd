"""Training statistics: how the scans of a visit compare with those a model has learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_synth.core.coverage import within
from bids_synth.core.tissue.levels import TissueLevels
from bids_synth.core.trust.balls import ball_figures
from bids_synth.core.trust.faults import fault_figures
from bids_synth.core.visit import Prepared
from bids_synth.learn.data.array_cache import scaled_image
from bids_synth.spatial.volume import read_grid

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
    values inside the mask, where they were acquired; `<noise|lines|bright|void>_<modality>` of
    `fault_figures` and `ball_<dark|bright>_<modality>` of `ball_figures`;
    `level_<grey|fluid>_<modality>` of its tissues against white matter, where they are known;
    `voxel_<modality>`, the longest edge of its voxels as scanned, mm, where the visit names the
    scan. Registration and coverage only of `modalities`.
    """
    result = {
        name: float(value)
        for name, value in prepared.quality.items()
        if not name.startswith(_OF_ONE) or name.split("_")[1] in modalities
    }
    mask = prepared.mask_image.array
    for modality in (m for m in modalities if m in prepared.images):
        inside = within(prepared, (modality,), mask) > 0
        image = scaled_image(prepared, modality, mask)
        values = image[inside].astype(np.float64)
        mean, sd = values.mean(), max(float(values.std()), 1e-6)
        result[f"intensity_mean_{modality}"] = float(mean)
        result[f"intensity_sd_{modality}"] = sd
        result[f"intensity_skewness_{modality}"] = float((((values - mean) / sd) ** 3).mean())
        spacing = prepared.grid.spacing
        faults = fault_figures(image, inside, spacing) | ball_figures(image, inside, spacing)
        result |= {f"{name}_{modality}": value for name, value in faults.items()}
        if (scan := prepared.visit.scans.get(modality)) is not None:
            result[f"voxel_{modality}"] = max(read_grid(scan.path).spacing)
        result |= level_figures(modality, prepared.levels.get(modality))
    return result


def level_figures(modality: str, levels: TissueLevels | None) -> dict[str, float]:
    """Grey matter and fluid against white matter, as figures of a modality.

    >>> level_figures("T2w", TissueLevels(white=2.0, grey=3.0, fluid=float("nan")))
    {'level_grey_T2w': 1.5}
    """
    if levels is None or not levels.white > 0:
        return {}
    shares = {"grey": levels.grey / levels.white, "fluid": levels.fluid / levels.white}
    return {f"level_{t}_{modality}": share for t, share in shares.items() if np.isfinite(share)}


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
