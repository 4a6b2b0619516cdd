"""Tissue labels: where the template expects grey and white matter in a visit."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from bids_synth.core.visit import Prepared
from bids_synth.spatial.grid import inverse
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.resample import resample
from bids_synth.spatial.template import template_tissue
from bids_synth.spatial.volume import Volume, read_mask

NAMES = {1: "grey matter", 2: "white matter"}
"""Label -> region."""


def tissue_labels(prepared: Prepared) -> Volume:
    """uint8 labels (`NAMES`) on the reference's native grid, 0 outside the mask.

    A voxel takes the more probable tissue of the template, brought here by the visit's affine,
    where that is more probable than not: coarse at single gyri, sound for means.
    """
    return _labels(_Visit.of(prepared))


@dataclass(frozen=True)
class _Visit:
    """A visit, known by the files that decide its labels."""

    prepared: Prepared = field(compare=False)
    files: tuple[Path, ...]
    changed: tuple[int, ...]

    @classmethod
    def of(cls, prepared: Prepared) -> _Visit:
        files = (prepared.template, prepared.native_mask)
        return cls(prepared, files, tuple(f.stat().st_mtime_ns for f in files))


# Of the visit at hand: all that is made of it is measured by the same regions.
@lru_cache(maxsize=1)
def _labels(visit: _Visit) -> Volume:
    prepared = visit.prepared
    back = inverse(read_itk(prepared.template))
    maps = [
        resample(template_tissue(tissue), prepared.native, transform=back).array
        for tissue in ("gm", "wm")
    ]
    labels = np.where(np.maximum(*maps) > 0.5, np.argmax(maps, axis=0) + 1, 0)
    inside = read_mask(prepared.native_mask)
    array = (labels * (inside.array > 0)).astype(np.uint8)
    array.flags.writeable = False
    return inside.with_array(array)
