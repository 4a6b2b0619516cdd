"""Admission: may a scan be prepared? By its header first, then by its voxels, all at once."""

from __future__ import annotations

import gzip
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from nibabel.orientations import aff2axcodes

from bids_synth.core.fingerprint import fingerprint
from bids_synth.core.modality import MODALITIES
from bids_synth.core.units import UNTOLD, Conversion, settled
from bids_synth.errors import VisitError
from bids_synth.prepare.header import Header, read_header
from bids_synth.prepare.outliers import Mended, mend
from bids_synth.spatial.grid import Affine, Grid
from bids_synth.spatial.volume import UNREADABLE, Volume, one_line, read_grid, read_volume

FEWEST_SLICES = 5
"""Voxels along an axis below which a scan is no volume."""
LARGEST = 100_000_000
"""Voxels of a scan above which it is refused: 400 MB as float32, 464 cubed."""
THICKEST = 15.0
"""Voxel size, mm, above which a head has too few slices."""
SPAN = (60.0, 600.0)
"""Longest side of a field of view, mm, that may hold a head."""
APART = 1.0
"""Distance, mm, between two answers to where a voxel lies that is worth a word."""


@dataclass(frozen=True)
class Admitted:
    """What is odd about the voxels of a visit's scans, all of which can be prepared."""

    notes: tuple[str, ...] = ()
    """One line each, with the file."""
    held: Mapping[str, int] = field(default_factory=dict)
    """Modality -> voxels that are held back as outliers, where there are any."""
    contents: Mapping[str, str] = field(default_factory=dict)
    """Modality -> fingerprint of the scan's voxels."""


def admit_header(path: Path) -> list[str]:
    """Look at the header of a scan: what is odd about it but accepted, in one line each.

    Raises VisitError with everything for which it is refused.
    """
    header = read_header(path)
    if faults := faults_of(header):
        message = f"{path}: {'; '.join(faults)}"
        raise VisitError(message)
    read_grid(path)
    return [f"{path}: {note}" for note in notes_of(header)]


def faults_of(header: Header) -> list[str]:
    """Every reason to refuse a scan that its header gives: what, what was expected, what to do."""
    shape = _shape(header)
    if len(shape) != 3 or min(shape) < 1:
        return [f"expected a 3D image, got shape {header.shape}; split or average it"]
    return [*_size_faults(shape), *_voxel_type_faults(header), *_place_faults(header, shape)]


def notes_of(header: Header) -> list[str]:
    """What is odd in the header of a scan that is accepted, and how it is taken."""
    notes = list(header.notes)
    if header.unit != "mm":
        notes.append(f"its unit of length is {header.unit}; its numbers are taken as mm")
    gap = _gap(header)
    if gap > APART:
        notes.append(f"its sform and qform put voxels up to {gap:.3g} mm apart; the sform is used")
    return notes


def voxel_faults(volume: Volume) -> list[str]:
    """Every reason to refuse a scan that its voxels give."""
    low, high = volume.array.min(), volume.array.max()
    if low != high:
        return []
    return [f"all voxels are {low:g}, expected an image; choose another scan or remove it"]


@dataclass(frozen=True, eq=False)
class SeenScan:
    """A scan as it is prepared, and what became of its values on the way."""

    mended: Mended
    """Its volume in the modality's own unit, outliers held back."""
    conversion: Conversion
    """By what the values were converted."""

    @property
    def volume(self) -> Volume:
        """The image, in its modality's own unit."""
        return self.mended.volume


def read_scan(path: Path, modality: str, conversion: Conversion = UNTOLD) -> Volume:
    """Read a scan that can be prepared, in its modality's unit; VisitError for one that cannot.

    Outliers are held back and wrapped integers unwrapped before anyone sees its values.
    `conversion` is that of its sidecar; without one, its values decide.
    """
    return look_at_voxels(path, modality, conversion).volume


def look_at_voxels(path: Path, modality: str, conversion: Conversion = UNTOLD) -> SeenScan:
    """As `read_scan`, with what is odd about its voxels and how they were converted.

    Raises VisitError with everything for which it is refused.
    """
    admit_header(path)
    volume = read_volume(path, unit=MODALITIES[modality].unit)
    if faults := voxel_faults(volume):
        message = f"{path}: {'; '.join(faults)}"
        raise VisitError(message)
    try:
        mended = mend(volume, step=read_header(path).step)
        unit = settled(conversion, MODALITIES[modality], mended.volume.array)
    except ValueError as error:
        message = f"{path}: {error}"
        raise VisitError(message) from error
    own = mended.volume.with_array(unit.apply(mended.volume.array))
    notes = tuple(f"{path}: {note}" for note in mended.notes)
    return SeenScan(replace(mended, volume=own, notes=notes), unit)


def read_again(path: Path, modality: str, conversion: Conversion) -> Volume:
    """A scan that was admitted before, in its modality's unit by what was settled then."""
    raw = read_volume(path, unit=MODALITIES[modality].unit)
    mended = mend(raw, step=read_header(path).step).volume
    return mended.with_array(conversion.apply(mended.array))


def admit_scans(
    scans: Mapping[str, Path], conversions: Mapping[str, Conversion] = MappingProxyType({})
) -> Admitted:
    """Read every scan of a visit, to the last byte; VisitError with all that is wrong.

    So that no scan is registered in vain while another of its visit cannot be read.
    """
    notes: list[str] = []
    problems, held, contents = [], {}, {}
    for modality, path in scans.items():
        try:
            seen = look_at_voxels(path, modality, conversions.get(modality, UNTOLD))
            _check_sum(path)
        except VisitError as error:
            problems.append(str(error))
            continue
        notes += seen.mended.notes
        contents[modality] = fingerprint(seen.volume)
        if seen.mended.held:
            held[modality] = seen.mended.held
    if problems:
        raise VisitError("; ".join(problems))
    return Admitted(tuple(notes), held, contents)


def _check_sum(path: Path) -> None:
    """Raise VisitError where a compressed file is not what was compressed.

    Its checksum stands behind the voxels, where reading them does not come.
    """
    if path.suffix != ".gz":
        return
    try:
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass
    except UNREADABLE as error:
        message = f"{path}: is damaged ({one_line(error)}); replace the file"
        raise VisitError(message) from error


def _shape(header: Header) -> tuple[int, ...]:
    """The shape without trailing axes of length 1."""
    shape = header.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _size_faults(shape: tuple[int, ...]) -> list[str]:
    if min(shape) < FEWEST_SLICES:
        return [f"has only {min(shape)} slice(s), expected a volume; choose another scan"]
    if math.prod(shape) > LARGEST:
        message = f"{shape} are more than {LARGEST:,} voxels; expected a head"
        return [f"{message}; crop or downsample it first"]
    return []


def _voxel_type_faults(header: Header) -> list[str]:
    kind = header.voxels
    if kind is not None and kind.kind in "iuf":
        return []
    words = "of an unknown type"
    if kind is not None:
        words = "complex" if kind.kind == "c" else "colours"
    return [f"its voxels are {words}; expected one real number in each; save it so"]


def _place_faults(header: Header, shape: tuple[int, ...]) -> list[str]:
    if not all(math.isfinite(mm) and mm > 0 for mm in header.sizes):
        sizes = " x ".join(f"{mm:g}" for mm in header.sizes)
        return [f"has the voxel size {sizes} mm; expected positive numbers; repair its pixdim"]
    affine = header.place.affine
    if affine is None:
        return [str(header.place.refusal)]
    try:
        grid = Grid((shape[0], shape[1], shape[2]), affine)
    except ValueError as error:
        return [f"its header gives no usable grid ({error}); repair the header"]
    return [*_span_faults(grid), *_axes_faults(header)]


def _span_faults(grid: Grid) -> list[str]:
    faults = []
    span = max(n * mm for n, mm in zip(grid.shape, grid.spacing, strict=True))
    if span < SPAN[0]:
        faults.append(f"spans only {span:.3g} mm, expected a head; give its voxel size in mm")
    if span > SPAN[1]:
        faults.append(
            f"spans {span:.0f} mm, expected a head (at most {SPAN[1]:.0f} mm); crop it first"
        )
    elif max(grid.spacing) > THICKEST:
        faults.append(
            f"has voxels of {max(grid.spacing):.3g} mm, expected at most {THICKEST:g} mm; "
            "choose another scan"
        )
    return faults


def _axes_faults(header: Header) -> list[str]:
    if header.place.sform is None or header.place.qform is None:
        return []
    axes = [
        "".join(map(str, aff2axcodes(form))) for form in (header.place.sform, header.place.qform)
    ]
    if axes[0] == axes[1]:
        return []
    message = f"its sform ({axes[0]}) and qform ({axes[1]}) contradict each other"
    return [f"{message}; set both to the true one"]


def _gap(header: Header) -> float:
    """Largest distance, mm, between the two places of a corner by sform and qform."""
    if header.place.sform is None or header.place.qform is None:
        return 0.0
    last = np.asarray(_shape(header), np.float64) - 1
    corners = np.stack(np.meshgrid(*[(0.0, n) for n in last], indexing="ij"), -1).reshape(-1, 3)
    difference: Affine = header.place.sform - header.place.qform
    gaps = corners @ difference[:3, :3].T + difference[:3, 3]
    return float(np.linalg.norm(gaps, axis=1).max())
