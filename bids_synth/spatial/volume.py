"""Volume: a 3D image in memory with its grid and unit, and its way from and to NIfTI."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.spatialimages import HeaderDataError

from bids_synth.errors import VisitError
from bids_synth.spatial.grid import Grid, reorient
from bids_synth.spatial.placement import LONGEST, Placement, placement, raw_header
from bids_synth.system.atomic import atomic_write
from bids_synth.system.os_errors import denied

UNREADABLE = (
    OSError,
    EOFError,
    ImageFileError,
    HeaderDataError,
    ValueError,
    TypeError,
    OverflowError,
    zlib.error,
)
"""What reading a file that is no NIfTI, or half of one, raises."""
LEAST: Mapping[str, float] = MappingProxyType(
    {
        "HU": -1024.0,
        "SUV": 0.0,
        "SUVR": 0.0,
        "ml/100g/min": 0.0,
        "%": 0.0,
        "s": 0.0,
        "umol/100g/min": 0.0,
        "fraction": 0.0,
    }
)
"""Unit -> the lowest value that can be true; nothing below is written. Others have no bound."""


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxel values (I, J, K), where they lie, and in what unit they are."""

    array: npt.NDArray[Any]
    """(I, J, K), float32 for images and uint8 for masks."""
    grid: Grid
    """Where the voxels lie; its shape is that of `array`."""
    unit: str = "arbitrary"
    """Unit of the values, as in `Modality.unit`."""

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            message = f"array of shape {self.array.shape} does not fit grid {self.grid.shape}"
            raise ValueError(message)

    def with_array(self, array: npt.NDArray[Any]) -> Volume:
        """The same place and unit with other values."""
        return replace(self, array=array)

    def require_unit(self, unit: str) -> Volume:
        """This volume, or ValueError where its unit is another: HU never meets SUV."""
        if self.unit != unit:
            message = f"expected values in {unit}, got {self.unit}"
            raise ValueError(message)
        return self

    def require_grid(self, grid: Grid) -> Volume:
        """This volume, or ValueError where it does not lie on this grid."""
        if not self.grid.matches(grid, tolerance=1e-3):
            message = f"expected a volume on {grid}, got one on {self.grid}"
            raise ValueError(message)
        return self

    def canonical(self) -> Volume:
        """The same voxels in RAS order; undo with `reorient(array, grid.canonical(), grid)`."""
        grid = self.grid.canonical()
        return replace(self, array=reorient(self.array, self.grid, grid), grid=grid)


def hold_to_bounds(volume: Volume) -> tuple[Volume, int]:
    """The volume with no value below what its unit can be, and how many voxels were raised.

    NaN stays NaN.

    >>> grid = Grid((3, 1, 1), np.eye(4))
    >>> image, held = hold_to_bounds(Volume(np.array([[[-2.0]], [[0.0]], [[3.0]]]), grid, "SUV"))
    >>> image.array.ravel().tolist(), held
    ([0.0, 0.0, 3.0], 1)
    """
    least = LEAST.get(volume.unit)
    if least is None or not (held := int((volume.array < least).sum())):
        return volume, 0
    return volume.with_array(np.maximum(volume.array, volume.array.dtype.type(least))), held


def read_grid(path: Path) -> Grid:
    """The grid of a 3D NIfTI from its header alone; VisitError names what is wrong."""
    return _grid_of(*_open(path), path)


def read_volume(path: Path, *, unit: str = "arbitrary") -> Volume:
    """Read a 3D NIfTI as float32 with its scaling applied; VisitError names what is wrong.

    Trailing axes of length 1 are dropped. Values that are not finite are refused.
    """
    image, place = _open(path)
    grid = _grid_of(image, place, path)
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(image.dataobj, dtype=np.float32).reshape(grid.shape)
    except UNREADABLE as error:
        message = f"{path}: its voxels cannot be read ({one_line(error)}); replace the file"
        raise VisitError(message) from error
    if lost := int(array.size - np.isfinite(array).sum()):
        message = (
            f"{path}: {lost:,} of {array.size:,} voxels are NaN or infinite; expected finite "
            "numbers; set them to the background's value"
        )
        raise VisitError(message)
    return Volume(array, grid, unit)


def read_mask(path: Path) -> Volume:
    """Read a mask as uint8: 1 where the file is above 0.5."""
    volume = read_volume(path)
    return volume.with_array((volume.array > 0.5).astype(np.uint8))


def write_volume(volume: Volume, path: Path) -> Path:
    """Write a NIfTI by rename, whole or not at all, sform and qform both set to scanner.

    VisitError, with the count, where voxels are NaN or infinite: nothing is written then.
    """
    if lost := int(volume.array.size - np.isfinite(volume.array).sum()):
        message = (
            f"{path}: {lost:,} of {volume.array.size:,} voxels came out NaN or infinite; nothing "
            "was written; look at the images that it is made from"
        )
        raise VisitError(message)
    image = nib.nifti1.Nifti1Image(volume.array, volume.grid.affine)
    image.set_sform(volume.grid.affine, code=1)
    image.set_qform(volume.grid.affine, code=1)
    if not np.allclose(image.get_qform(), volume.grid.affine, rtol=0, atol=1e-3):
        image.set_qform(None, code=0)  # A quaternion holds no shear, as of a tilted gantry.
    image.header.set_xyzt_units("mm")
    with atomic_write(path) as part:
        image.to_filename(part)
    return path


def write_text(text: str, path: Path) -> Path:
    """Write a text file by rename, whole or not at all."""
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def json_text(content: Any, *, indent: int | None = 2, ascii_only: bool = False) -> str:
    """JSON that every reader accepts: a number that is NaN or infinite becomes null.

    >>> json_text({"mean": float("nan"), "ends": (0.5, float("inf"))}, indent=None)
    '{"mean": null, "ends": [0.5, null]}'
    """
    plain = finite(content)
    return json.dumps(plain, indent=indent, ensure_ascii=ascii_only, allow_nan=False)


def finite(content: Any) -> Any:
    """The same tree of mappings, lists and scalars with None for every NaN and infinity."""
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not isfinite(content) else content


def read_json_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where it is absent, broken or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def one_line(error: Exception) -> str:
    """The words of an error without their line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def stays_inside(path: Path, root: Path) -> bool:
    """True where no link on the way to a path leads out of `root`; the path need not be there."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What shows inside that a file is absent or no NIfTI becomes a VisitError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        message = f"{path}: the file is not there; fetch it (`datalad get`) or remove the link"
        raise VisitError(message) from error
    except PermissionError as error:
        message = f"{path}: {denied(path)}; ask its owner for the right to read it"
        raise VisitError(message) from error
    except UNREADABLE as error:
        message = f"{path}: is not a readable NIfTI ({one_line(error)}); replace the file"
        raise VisitError(message) from error


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _One(nib.nifti1.Nifti1Header):  # type: ignore[misc]
    """A header whose place is told by `placement`, not by what nibabel makes of it."""

    def get_best_affine(self) -> Any:
        return np.eye(4)


class _Two(nib.nifti2.Nifti2Header):  # type: ignore[misc]
    def get_best_affine(self) -> Any:
        return np.eye(4)


class _ImageOne(nib.nifti1.Nifti1Image):  # type: ignore[misc]
    header_class = _One


class _ImageTwo(nib.nifti2.Nifti2Image):  # type: ignore[misc]
    header_class = _Two


def _open(path: Path) -> tuple[Any, Placement]:
    """The image, its voxels not read, and where its header as it stands puts them."""
    with readable(path), LoggingOutputSuppressor():
        raw = raw_header(path)
        kind_of_image: Any = _ImageTwo if raw.sizeof_hdr == LONGEST else _ImageOne
        image = kind_of_image.from_filename(path)
        kind = image.get_data_dtype().kind
    if kind not in "iuf":
        message = (
            f"{path}: has complex or colour voxels; expected one real number in each; save it so"
        )
        raise VisitError(message)
    return image, placement(raw)


def _grid_of(image: Any, place: Placement, path: Path) -> Grid:
    shape = tuple(image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        message = f"{path}: expected a 3D image, got shape {image.shape}; split or average it"
        raise VisitError(message)
    affine = place.affine
    if affine is None:
        message = f"{path}: {place.refusal}"
        raise VisitError(message)
    try:
        return Grid((shape[0], shape[1], shape[2]), affine)
    except ValueError as error:
        message = f"{path}: its header gives no usable grid ({error}); repair the header"
        raise VisitError(message) from error
