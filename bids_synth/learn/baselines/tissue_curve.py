"""Tissue curve: a target by the levels of this image's tissues, with nothing fitted but levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from bids_synth.core.scale import Scale
from bids_synth.core.tissue.levels import TissueLevels, level_curve
from bids_synth.core.visit import Prepared

NAME = "tissue-curve"


def scaled_levels(levels: TissueLevels, scale: Scale) -> TissueLevels:
    """Levels in the numbers that a network sees."""
    values = np.array(list(asdict(levels).values()), np.float64)
    return TissueLevels(*scale.apply(values).astype(float).tolist())


def typical_levels(training: Sequence[Prepared]) -> dict[str, TissueLevels]:
    """Modality -> median scaled levels over the visits whose tissues were looked for."""
    seen: dict[str, list[list[float]]] = {}
    for prepared in training:
        for modality, levels in prepared.levels.items():
            own = scaled_levels(levels, prepared.scales[modality])
            seen.setdefault(modality, []).append(list(asdict(own).values()))
    return {modality: _median(np.array(rows)) for modality, rows in seen.items()}


def along_curves(
    images: Mapping[str, npt.NDArray[np.float32]], prepared: Prepared, target: TissueLevels
) -> npt.NDArray[np.float32]:
    """The mean over sources of each one bent so that its tissues lie at the target's levels.

    Images are scaled and so is what comes out. A source whose tissues look alike stays as it is.
    """
    answers = []
    for modality, image in images.items():
        own = scaled_levels(prepared.levels[modality], prepared.scales[modality])
        curve = level_curve(own, target)
        answers.append(image if curve is None else np.interp(image, *curve))
    return np.asarray(np.mean(answers, axis=0), np.float32)


def _median(rows: npt.NDArray[np.float64]) -> TissueLevels:
    """Tissue by tissue, of the visits in which it was found."""
    known = [column[np.isfinite(column)] for column in rows.T]
    return TissueLevels(*(float(np.median(k)) if len(k) else float("nan") for k in known))
