"""Training statistics: how the scans of a visit compare with those a model has learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

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
    for modality in (m for m in modalities if m in prepared.images):
        result |= _scan_figures(_Scan.of(prepared, modality))
    return result


@dataclass(frozen=True)
class _Scan:
    """One prepared image of a visit, known by its file."""

    prepared: Prepared = field(compare=False)
    key: str
    modality: str
    path: Path
    changed: int

    @classmethod
    def of(cls, prepared: Prepared, modality: str) -> _Scan:
        path = prepared.images[modality]
        return cls(prepared, prepared.key, modality, path, path.stat().st_mtime_ns)


# Of the visit at hand: every image that is made of the same scans asks again.
@lru_cache(maxsize=8)
def _scan_figures(scan: _Scan) -> dict[str, float]:
    prepared, modality = scan.prepared, scan.modality
    mask, spacing = prepared.mask_image.array, prepared.grid.spacing
    inside = within(prepared, (modality,), mask) > 0
    image = scaled_image(prepared, modality, mask)
    values = image[inside].astype(np.float64)
    mean, sd = values.mean(), max(float(values.std()), 1e-6)
    found = {
        "intensity_mean": float(mean),
        "intensity_sd": sd,
        "intensity_skewness": float((((values - mean) / sd) ** 3).mean()),
        **fault_figures(image, inside, spacing),
        **ball_figures(image, inside, spacing),
    }
    result = {f"{name}_{modality}": value for name, value in found.items()}
    if (raw := prepared.visit.scans.get(modality)) is not None:
        result[f"voxel_{modality}"] = max(read_grid(raw.path).spacing)
    return result | level_figures(modality, prepared.levels.get(modality))


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
