"""Scans that are wrong in one way: a good NIfTI of a 200 mm field, then a fault in its bytes."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bids_synth.errors import VisitError
from bids_synth.prepare.checks import admit_header, admit_scans

SPACING = 5.0
AFFINE = np.diag([SPACING, SPACING, SPACING, 1.0])
VALUES = (np.random.default_rng(0).random((40, 40, 40)) * 1000).astype(np.int16)

DIM, DATATYPE, PIXDIM, SLOPE, UNITS = 40, 70, 76, 112, 123
QFORM_CODE, SFORM_CODE, SFORM, MAGIC = 252, 254, 280, 344
"""Where fields lie in a NIfTI-1 header, in bytes (nifti1.h)."""


def save(path: Path, array: Any = VALUES, affine: Any = AFFINE, **fields: tuple[Any, ...]) -> Path:
    """Write an image; a field is `name=(offset, format, *values)` put into its header."""
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    content = bytearray(image.to_bytes())
    for offset, form, *values in fields.values():
        struct.pack_into("<" + form, content, offset, *values)
    packed = path.name.endswith(".gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(bytes(content), 1) if packed else bytes(content))
    return path


def refusal(path: Path, *, header: bool) -> str:
    """Why a scan is refused, by its header alone or only by its content; fails where it is not."""
    with pytest.raises(VisitError) as told:
        _admit(path, header=header)
    message = str(told.value)
    assert message.startswith(f"{path}: "), message
    assert "\n" not in message
    return message


def _admit(path: Path, *, header: bool) -> None:
    if header:
        admit_header(path)
        return
    assert admit_header(path) == []
    admit_scans({"T1w": path})
