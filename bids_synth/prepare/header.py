"""Header: what a NIfTI header says as it stands, before any library mends it in silence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.spatialimages import HeaderDataError

from bids_synth.spatial.placement import Placement, placement, raw_header
from bids_synth.spatial.volume import readable

_METRE, _MICROMETRE = 1, 3
_UNITS = {_METRE: "metre", _MICROMETRE: "micrometre"}


@dataclass(frozen=True, eq=False)
class Header:
    """Where the voxels of a file lie and what they are, by its header alone."""

    shape: tuple[int, ...]
    """Length of every axis."""
    voxels: np.dtype[Any] | None
    """Type of one voxel as stored; None for one that nibabel does not know."""
    sizes: tuple[float, float, float]
    """Voxel size along i, j, k as written, in `unit`."""
    place: Placement
    """Where the voxels lie."""
    unit: str = "mm"
    """Unit of length: mm (also where none is given), metre or micrometre."""
    notes: tuple[str, ...] = ()
    """What is odd about what is used."""
    step: float | None = None
    """Value of one stored number, where its sign is that of the value; None for unsigned
    numbers and where an intercept moves zero."""


def read_header(path: Path) -> Header:
    """The header of a NIfTI file; VisitError where it is none."""
    with readable(path), LoggingOutputSuppressor():
        return _header(raw_header(path))


def _header(raw: Any) -> Header:
    dim = [int(n) for n in raw["dim"]]
    count = dim[0] if 0 < dim[0] < len(dim) else 0
    sizes = tuple(float(mm) for mm in raw["pixdim"][1:4])
    place = placement(raw)
    return Header(
        shape=tuple(dim[1 : count + 1]),
        voxels=_voxels(raw),
        sizes=(sizes[0], sizes[1], sizes[2]),
        place=place,
        unit=_UNITS.get(int(raw["xyzt_units"]) & 7, "mm"),
        notes=(*place.notes, *_slope_notes(raw)),
        step=_step(raw),
    )


def _slope_notes(raw: Any) -> list[str]:
    slope = float(raw["scl_slope"])
    return [] if math.isfinite(slope) else [f"its scl_slope is {slope:g}; it is taken as none"]


def _step(raw: Any) -> float | None:
    kind = _voxels(raw)
    slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
    if kind is None or kind.kind not in "if" or (np.isfinite(intercept) and intercept):
        return None
    return abs(slope) if np.isfinite(slope) and slope else 1.0


def _voxels(raw: Any) -> np.dtype[Any] | None:
    try:
        kind: np.dtype[Any] = raw.get_data_dtype()
    except (HeaderDataError, KeyError):
        return None
    return kind if kind.itemsize else None
