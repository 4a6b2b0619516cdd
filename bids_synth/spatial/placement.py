"""Placement: where a NIfTI header puts the voxels, by the standard and not by a library.

The standard is nifti1.h, sections "METHOD 2" (qform) and "METHOD 3" (sform). Everything that reads
an image asks here, so that what is admitted and what is prepared lie at one place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.openers import ImageOpener
from nibabel.quaternions import quat2mat

from bids_synth.spatial.grid import Affine, Grid

LONGEST = 540
"""Bytes of a NIfTI-2 header; a NIfTI-1 header has 348."""
_KINDS = {348: nib.nifti1.Nifti1Header, 540: nib.nifti2.Nifti2Header}
_MAGIC = b"n+"
_GZIP = b"\x1f\x8b"
SILENT = 1e-5
"""Excess of a quaternion's length that is rounding: as much as turns an image by half a degree."""
ROUNDED = 1e-3
"""Excess up to which a quaternion was rounded to few decimals, and is brought back to length 1."""


@dataclass(frozen=True, eq=False)
class Placement:
    """The two answers of a header to where a voxel lies."""

    sform: Affine | None = None
    """Voxel index -> RAS+ mm by matrix; None where its code is 0 or it is no usable one."""
    qform: Affine | None = None
    """Voxel index -> RAS+ mm by rotation; None where its code is 0 or it is no usable one."""
    faults: tuple[str, ...] = ()
    """Why a form that the header gives cannot be used, in one line each."""
    notes: tuple[str, ...] = ()
    """What is odd about a form that is used, and how it is taken."""

    @property
    def affine(self) -> Affine | None:
        """The sform where it is usable, else the qform; None where neither is."""
        return self.sform if self.sform is not None else self.qform

    @property
    def refusal(self) -> str | None:
        """Why nothing says where a voxel lies; None where something does."""
        if self.affine is not None:
            return None
        if self.faults:
            return f"its header gives no usable grid ({'; '.join(self.faults)}); repair the header"
        message = "has no valid sform or qform, so that left and right are unknown"
        return f"{message}; convert it anew from DICOM, or set one"


def raw_header(path: Path) -> Any:
    """The header of a NIfTI file as it stands; ValueError or OSError where it is none."""
    with ImageOpener(path) as file:
        block = file.read(LONGEST)
    length = _length(block)
    return _KINDS[length](block[:length], check=False)


def placement(raw: Any) -> Placement:
    """Where a header as it stands (not mended by nibabel) puts the voxels."""
    sform, qform = None, None
    faults: list[str] = []
    notes: list[str] = []
    if int(raw["sform_code"]) > 0:
        sform = np.asarray(raw.get_sform(), np.float64)
        if fault := _unusable(sform):
            faults.append(f"its sform: {fault}")
            sform = None
    if int(raw["qform_code"]) > 0:
        try:
            qform, notes = _qform(raw)
        except ValueError as error:
            faults.append(f"its qform: {error}")
    if sform is not None:
        notes = [f"{fault}; the sform is used" for fault in faults]
    elif qform is not None:
        notes += [f"{fault}; the qform is used" for fault in faults]
    return Placement(sform, qform, tuple(faults), tuple(notes))


def _qform(raw: Any) -> tuple[Affine, list[str]]:
    """The rotation's matrix and what is odd about it; ValueError says why there is none."""
    sizes = np.asarray(raw["pixdim"][1:4], np.float64)
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        message = f"its pixdim {_words(sizes)} is no voxel size"
        raise ValueError(message)
    quaternion, notes = _quaternion(raw)
    affine = np.eye(4)
    affine[:3, :3] = quat2mat(quaternion) * (sizes * (1.0, 1.0, _handedness(raw)))
    affine[:3, 3] = [raw[f"qoffset_{axis}"] for axis in "xyz"]
    if fault := _unusable(affine):
        raise ValueError(fault)
    return affine, notes


def _quaternion(raw: Any) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Unit quaternion (a, b, c, d) of the stored b, c, d, whose a is what is left of 1."""
    stored = np.array([raw[f"quatern_{letter}"] for letter in "bcd"], np.float64)
    length = float(np.linalg.norm(stored))
    # Written so that a length that is no number is refused too.
    if not length <= 1.0 + ROUNDED:
        message = (
            f"its quaternion {_words(stored)} has the length {length:.6g}, expected at most 1; "
            "convert the image anew from DICOM, or set a sform"
        )
        raise ValueError(message)
    notes = []
    if length > 1.0 + SILENT:
        notes.append(f"its quaternion has the length {length:.6g}; it is brought back to length 1")
    rest = 1.0 - float(stored @ stored)
    # What is left of 1 within the rounding of the stored numbers is nothing, as for nibabel.
    if rest < 3 * float(np.finfo(raw["quatern_b"].dtype).eps):
        return np.array([0.0, *(stored / length)]), notes
    return np.array([math.sqrt(rest), *stored]), notes


def _handedness(raw: Any) -> float:
    """1 or -1; a `qfac` of 0 counts as 1 (nifti1.h), and so does any other that is above 0."""
    said = float(raw["pixdim"][0])
    if said >= 0.0 or said == -1.0:
        return -1.0 if said < 0.0 else 1.0
    message = f"its qfac (pixdim[0]) is {said:g}, expected 1 or -1: left and right are unknown"
    raise ValueError(message)


def _unusable(affine: Affine) -> str | None:
    try:
        Grid((1, 1, 1), affine)
    except ValueError as error:
        return str(error)
    return None


def _length(block: bytes) -> int:
    """Length of the header that a block begins with; ValueError says what is wrong."""
    if len(block) < min(_KINDS):
        message = f"it ends after {len(block)} bytes, within its header"
        raise ValueError(message)
    said = {int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")} & _KINDS.keys()
    length = said.pop() if said else 0
    if length == 0 or len(block) < length:
        message = f"it begins with {block[:4]!r}, expected the length of a header, 348 or 540"
        if block.startswith(_GZIP):
            message += ": it is compressed by gzip, which its name does not say"
        raise ValueError(message)
    magic = block[344:348] if length == min(_KINDS) else block[4:8]
    if not magic.startswith(_MAGIC):
        message = f"its magic is {magic!r}, expected {_MAGIC!r} and a version"
        raise ValueError(message)
    return length


def _words(numbers: npt.NDArray[np.float64]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)
