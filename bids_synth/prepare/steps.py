"""Steps: the preparation of a visit from file to file; every one a plain function."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.errors import VisitError
from bids_synth.grid import Affine, Grid, inverse
from bids_synth.modality import MODALITIES, Modality
from bids_synth.parts.preparation import GridPart, PreparationPart
from bids_synth.prepare.admit import admit_scans, read_scan
from bids_synth.prepare.bias import correct_bias
from bids_synth.prepare.find_brain import find_brain
from bids_synth.prepare.itk import read_itk, write_itk
from bids_synth.prepare.native import prepared_grid
from bids_synth.prepare.region import core, support
from bids_synth.prepare.resample import resample
from bids_synth.prepare.rigid import register_rigid
from bids_synth.prepare.similarity import mutual_information
from bids_synth.prepare.within import LEAST, resample_within
from bids_synth.scale import fit_scale
from bids_synth.settings import SkullStrip
from bids_synth.volume import Volume, read_grid, read_mask, read_volume, write_text, write_volume


def admit(scans: Mapping[str, Path], folder: Path) -> Path:
    """A file that names the scans, all of which can be read and prepared."""
    admit_scans(scans)
    return write_text("\n".join(scans), folder / "admitted.txt")


def find_region(
    reference: Path,
    modality: str,
    part: PreparationPart,
    *,
    option: SkullStrip,
    given: Path | None,
    seed: int,
    folder: Path,
) -> tuple[Path, Path, Path]:
    """Mask on the native grid, affine to the template, and what is known of them (JSON)."""
    volume = read_scan(reference, modality)
    found = find_brain(volume, reference, option=option, region=part.mask, given=given, seed=seed)
    ml = float(found.mask.array.sum()) * abs(np.linalg.det(volume.grid.affine[:3, :3])) / 1000
    known = {
        "stripped": found.stripped,
        "quality": {"template_correlation": found.correlation, "mask_volume": ml},
    }
    return (
        write_volume(found.mask, folder / "native_mask.nii.gz"),
        write_itk(found.template, folder / "template.txt"),
        write_text(json.dumps(known), folder / "region.json"),
    )


def place_mask(native_mask: Path, part: GridPart, folder: Path) -> Path:
    """The mask on the prepared grid, whose header is that grid."""
    mask = read_mask(native_mask)
    grid = prepared_grid(mask, part)
    smooth = resample(mask.with_array(mask.array.astype(np.float32)), grid)
    placed = smooth.with_array((smooth.array > 0.5).astype(np.uint8))
    if not placed.array.any():
        message = "the mask vanishes on the recipe's grid; look at the reference scan"
        raise VisitError(message)
    return write_volume(placed, folder / "mask.nii.gz")


def register_scan(
    reference: tuple[str, Path],
    moving: tuple[str, Path],
    native_mask: Path,
    part: PreparationPart,
    *,
    seed: int,
    folder: Path,
) -> Path:
    """Rigid transform, reference points -> scan points, as ITK text."""
    name, path = moving
    try:
        matrix = register_rigid(
            read_scan(reference[1], reference[0]),
            read_scan(path, name),
            read_mask(native_mask),
            spacing=part.registration_spacing,
            seed=seed,
        )
    except VisitError as error:
        message = f"{path}: {error}" if str(path) not in str(error) else str(error)
        raise VisitError(message) from error
    return write_itk(matrix, folder / f"{name}.txt")


def resample_scan(
    scan: Path,
    modality: str,
    mask: Path,
    transform: Path | None,
    part: PreparationPart,
    folder: Path,
) -> tuple[Path, Path]:
    """The scan on the prepared grid, resampled once, and its scale (JSON).

    A scan that came without skull has values in its own brain alone; what was set around it
    does not blend into the rim.
    """
    volume = read_scan(scan, modality)
    placed = read_mask(mask)
    kind = MODALITIES[modality]
    matrix = read_itk(transform) if transform is not None else None
    within = _support(volume, kind, placed, matrix)
    if part.bias_correction and kind.datatype == "anat" and kind.arbitrary:
        volume = correct_bias(volume, within)
    image = _on_grid(volume, within, placed.grid, matrix, kind.background)
    try:
        scale = fit_scale(
            kind,
            image.array[core(placed) if kind.arbitrary else placed.array > 0],
            log=modality in part.log,
            suvr=part.suvr == "mask" and kind.datatype == "pet",
            percentiles=part.percentiles,
        )
    except ValueError as error:
        message = f"{scan}: {error}; check that it shows the same head as the reference"
        raise VisitError(message) from error
    return (
        write_volume(image, folder / f"{modality}.nii.gz"),
        write_text(json.dumps(vars(scale)), folder / f"{modality}.json"),
    )


def _support(
    volume: Volume, kind: Modality, mask: Volume, transform: Affine | None
) -> npt.NDArray[Any] | None:
    """Where a scan without skull has values; None for a scan with its skull.

    Nothing in the brain is 0 in arbitrary units, nor in HU over a quarter of a scan. A flow or a
    metabolism of fluid is: inside the visit's mask that is a value like others.
    """
    known = support(volume)
    if known is None or kind.arbitrary or kind.background != 0:
        return known
    back = inverse(transform) if transform is not None else None
    share = resample(mask.with_array(mask.array.astype(np.float32)), volume.grid, transform=back)
    return np.asarray(known | (share.array > 0.5))


def _on_grid(
    volume: Volume,
    within: npt.NDArray[Any] | None,
    grid: Grid,
    transform: Affine | None,
    background: float,
) -> Volume:
    if within is None:
        return resample(volume, grid, transform=transform, order=3, background=background)
    return resample_within(
        volume,
        within,
        grid,
        transform=transform,
        order=3,
        background=background,
        least=LEAST,
    )


def collect(
    *,
    key: str,
    reference: str,
    native: Path,
    native_mask: Path,
    mask: Path,
    template: Path,
    known: Path,
    images: Mapping[str, Path],
    scales: Mapping[str, Path],
    transforms: Mapping[str, Path],
    folder: Path,
) -> Path:
    """The manifest of a prepared visit: every path, relative to `folder`, and figure, as JSON."""

    def relative(path: Path) -> str:
        return os.path.relpath(path, folder)

    facts = json.loads(known.read_text("utf-8"))
    inside = read_mask(mask)
    base = read_volume(images[reference]).array
    quality = dict(facts["quality"])
    for modality in transforms:
        other = read_volume(images[modality]).array
        quality[f"registration_{modality}"] = mutual_information(base, other, inside.array)
    manifest = {
        "key": key,
        "reference": reference,
        "native": grid_data(read_grid(native)),
        "grid": grid_data(inside.grid),
        "images": {m: relative(p) for m, p in images.items()},
        "mask": relative(mask),
        "native_mask": relative(native_mask),
        "transforms": {m: relative(p) for m, p in transforms.items()},
        "template": relative(template),
        "scales": {m: json.loads(p.read_text("utf-8")) for m, p in scales.items()},
        "quality": quality,
        "stripped": facts["stripped"],
    }
    return write_text(json.dumps(manifest), folder / "prepared.json")


def grid_data(grid: Grid) -> dict[str, Sequence[object]]:
    """A grid as JSON data; float64 survives exactly."""
    return {"shape": list(grid.shape), "affine": grid.affine.tolist()}
