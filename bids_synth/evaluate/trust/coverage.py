"""Coverage: what share of the real values the intervals of a scored image hold, and where."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage

from bids_synth.core.synthetic import Synthetic
from bids_synth.core.visit import Prepared
from bids_synth.prepare.brain.tissue_labels import NAMES, tissue_labels
from bids_synth.spatial.boxes import bounding_box
from bids_synth.spatial.volume import Volume

EDGE = 6.0
"""Depth, mm, below the mask's edge that counts as its edge."""
COLUMNS = (
    *("visit", "participant", "target", "sources", "region"),
    *("voxels", "coverage", "half_width", "error"),
)
WHOLE, LESION = "mask", "lesion"


def coverage_rows(
    synthetic: Synthetic,
    prepared: Prepared,
    mask: Volume,
    lesions: npt.NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """One row a region of a scored image on the native grid; none without an interval.

    `coverage` is the share of the voxels of a region whose real value the interval holds;
    `half_width` and `error` are means, in the image's unit. Regions are the mask, its edge and
    what lies deeper, the tissues of the template, and `lesions` (I, J, K) where they are known.
    """
    interval, real = synthetic.interval, synthetic.real
    if interval is None or real is None:
        return pd.DataFrame(columns=[*COLUMNS])
    inside = mask.array > 0
    error = np.abs(synthetic.image.array - real.array)
    half = interval.half_width.array
    keys = {
        "visit": prepared.label,
        "participant": prepared.visit.participant,
        "target": synthetic.modality,
        "sources": "+".join(synthetic.sources),
    }
    rows = []
    for name, where in _regions(prepared, inside, lesions).items():
        if not where.any():
            continue
        wrong, wide = error[where], half[where]
        rows.append(
            {
                **keys,
                "region": name,
                "voxels": int(where.sum()),
                "coverage": float(np.mean(wrong <= wide)),
                "half_width": float(np.mean(wide, dtype=np.float64)),
                "error": float(np.mean(wrong, dtype=np.float64)),
            }
        )
    return pd.DataFrame(rows, columns=[*COLUMNS])


@dataclass(frozen=True)
class _Mask:
    """A mask, known by its digest."""

    inside: npt.NDArray[np.bool_] = field(compare=False)
    spacing: tuple[float, float, float]
    shape: tuple[int, ...]
    digest: str


# Of the visit at hand: most of its images are scored in one mask.
@lru_cache(maxsize=2)
def _deep(mask: _Mask) -> npt.NDArray[np.bool_]:
    """Which voxels lie deeper than `EDGE` below the edge of a mask."""
    deep = np.zeros(mask.inside.shape, bool)
    if mask.inside.any():
        box = bounding_box(mask.inside)
        wide = np.pad(mask.inside[box], 1)
        depth = ndimage.distance_transform_edt(wide, sampling=mask.spacing)
        deep[box] = depth[1:-1, 1:-1, 1:-1] > EDGE
    deep.flags.writeable = False
    return deep


def _regions(
    prepared: Prepared,
    inside: npt.NDArray[np.bool_],
    lesions: npt.NDArray[np.bool_] | None,
) -> dict[str, npt.NDArray[np.bool_]]:
    digest = hashlib.sha256(np.packbits(inside).tobytes()).hexdigest()
    deep = _deep(_Mask(inside, prepared.native.spacing, inside.shape, digest))
    labels = tissue_labels(prepared).array
    regions = {WHOLE: inside, "edge": inside & ~deep, "deep": inside & deep}
    regions |= {name: inside & (labels == number) for number, name in NAMES.items()}
    if lesions is not None:
        regions[LESION] = inside & lesions
    return regions
