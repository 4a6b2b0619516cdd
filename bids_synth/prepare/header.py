"""Header: what a NIfTI header says as it stands, before any library mends it in silence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError

from bids_synth.grid import Affine
from bids_synth.volume import readable

LONGEST = 540
"""Bytes of a NIfTI-2 header; a NIfTI-1 header has 348."""
_KINDS = {348: nib.nifti1.Nifti1Header, 540: nib.nifti2.Nifti2Header}
_MAGIC = b"n+"
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
    sform: Affine | None
    """Voxel index -> RAS+ mm by matrix; None where its code is 0."""
    qform: Affine | None
    """Voxel index -> RAS+ mm by rotation; None where its code is 0 or it is no rotation."""
    unit: str = "mm"
    """Unit of length: mm (also where none is given), metre or micrometre."""
    step: float | None = None
    """Value of one stored number, where its sign is that of the value; None for unsigned
    numbers and where an intercept moves zero."""


def read_header(path: Path) -> Header:
    """The header of a NIfTI file; VisitError where it is none."""
    with readable(path):
        with ImageOpener(path) as file:
            block = file.read(LONGEST)
        length = _length(block)
    with LoggingOutputSuppressor():
        return _header(_KINDS[length](block[:length], check=False))


def _length(block: bytes) -> int:
    """Length of the header that a block begins with; ValueError says what is wrong."""
    if len(block) < min(_KINDS):
        message = f"it ends after {len(block)} bytes, within its header"
        raise ValueError(message)
    said = {int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")} & _KINDS.keys()
    length = said.pop() if said else 0
    if length == 0 or len(block) < length:
        message = f"it begins with {block[:4]!r}, expected the length of a header, 348 or 540"
        raise ValueError(message)
    magic = block[344:348] if length == min(_KINDS) else block[4:8]
    if not magic.startswith(_MAGIC):
        message = f"its magic is {magic!r}, expected {_MAGIC!r} and a version"
        raise ValueError(message)
    return length


def _header(raw: Any) -> Header:
    dim = [int(n) for n in raw["dim"]]
    count = dim[0] if 0 < dim[0] < len(dim) else 0
    sizes = tuple(float(mm) for mm in raw["pixdim"][1:4])
    return Header(
        shape=tuple(dim[1 : count + 1]),
        voxels=_voxels(raw),
        sizes=(sizes[0], sizes[1], sizes[2]),
        sform=np.asarray(raw.get_sform(), np.float64) if int(raw["sform_code"]) > 0 else None,
        qform=_qform(raw) if int(raw["qform_code"]) > 0 else None,
        unit=_UNITS.get(int(raw["xyzt_units"]) & 7, "mm"),
        step=_step(raw),
    )


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


def _qform(raw: Any) -> Affine | None:
    try:
        with np.errstate(all="ignore"):
            affine = np.asarray(raw.get_qform(), np.float64)
    except (HeaderDataError, ValueError, ArithmeticError):
        return None
    return affine if np.isfinite(affine).all() else None
