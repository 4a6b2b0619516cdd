"""Steps: the preparation of a visit from file to file; every one a plain function."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.core.manifest import to_manifest
from bids_synth.core.modality import MODALITIES, Modality
from bids_synth.core.scale import Scale, fit_scale, white_matter_scale
from bids_synth.core.settings import SkullStrip
from bids_synth.core.tissue.levels import TissueLevels, levels_of
from bids_synth.core.units import UNTOLD, Conversion
from bids_synth.core.visit import Prepared, Visit
from bids_synth.errors import VisitError
from bids_synth.prepare.bias import correct_bias
from bids_synth.prepare.brain.find_brain import find_brain
from bids_synth.prepare.brain.levels import tissue_levels
from bids_synth.prepare.brain.region import core, support
from bids_synth.prepare.checks import admit_scans, look_at_voxels, read_scan
from bids_synth.prepare.coverage import COMPLETE, coverage, share_of
from bids_synth.prepare.native import prepared_grid
from bids_synth.prepare.registration.rigid import register_rigid
from bids_synth.recipe.sections.preparation import GridPart, PreparationPart
from bids_synth.spatial.grid import Affine, Grid, inverse
from bids_synth.spatial.itk import read_itk, write_itk
from bids_synth.spatial.masked_resample import LEAST, resample_within
from bids_synth.spatial.resample import resample
from bids_synth.spatial.similarity import mutual_information
from bids_synth.spatial.volume import (
    Volume,
    json_text,
    read_grid,
    read_mask,
    read_volume,
    write_text,
    write_volume,
)


def admit(
    scans: Mapping[str, Path],
    folder: Path,
    conversions: Mapping[str, Conversion] = MappingProxyType({}),
) -> Path:
    """A file (JSON) that names the scans, all of which can be prepared, what is odd, and their
    fingerprints."""
    admission = admit_scans(scans, conversions)
    known = {"scans": list(scans), **asdict(admission)}
    return write_text(json_text(known, indent=None), folder / "admitted.json")


def find_region(
    reference: Path,
    modality: str,
    part: PreparationPart,
    *,
    option: SkullStrip,
    mask_file: Path | None,
    seed: int,
    folder: Path,
    conversion: Conversion = UNTOLD,
) -> tuple[Path, Path, Path]:
    """Mask on the native grid, affine to the template, and what is known of them (JSON)."""
    volume = read_scan(reference, modality, conversion)
    brain = find_brain(
        volume, reference, option=option, region=part.mask, mask_file=mask_file, seed=seed
    )
    ml = float(brain.mask.array.sum()) * abs(np.linalg.det(volume.grid.affine[:3, :3])) / 1000
    known = {
        "stripped": brain.stripped,
        "quality": {**brain.quality, "mask_volume": ml},
        "notes": brain.notes,
    }
    return (
        write_volume(brain.mask, folder / "native_mask.nii.gz"),
        write_itk(brain.template, folder / "template.txt"),
        write_text(json_text(known, indent=None), folder / "region.json"),
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
    conversions: tuple[Conversion, Conversion] = (UNTOLD, UNTOLD),
) -> Path:
    """Rigid transform, reference points -> scan points, as ITK text."""
    name, path = moving
    try:
        matrix = register_rigid(
            read_scan(reference[1], reference[0], conversions[0]),
            read_scan(path, name, conversions[1]),
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
    conversion: Conversion = UNTOLD,
    template: Path | None = None,
) -> tuple[Path, Path, Path]:
    """The scan on the prepared grid, resampled once, its scale, tissue levels and conversion
    (JSON), and what it covers.

    A scan that came without skull has values in its own brain alone; what was set around it
    does not blend into the rim.
    """
    seen = look_at_voxels(scan, modality, conversion)
    volume = seen.volume
    placed = read_mask(mask)
    kind = MODALITIES[modality]
    matrix = read_itk(transform) if transform is not None else None
    within = _support(volume, kind, placed, matrix)
    covered = coverage(volume, placed, transform=matrix)
    image = _on_grid(volume, within, placed.grid, matrix, kind.background)
    there = (placed.array > 0) & (covered.array > 0)
    if part.bias_correction and kind.datatype == "anat" and kind.arbitrary:
        image = correct_bias(image, there)
    levels = None
    if part.scaling == "white-matter" and kind.arbitrary:
        if template is None:
            message = "a scale by white matter needs the affine to the template"
            raise ValueError(message)
        levels = tissue_levels(image, there, read_itk(template))
    taught = image.array[_taught(kind, placed, covered)]
    try:
        scale = _scale(kind, taught, part, levels)
    except ValueError as error:
        message = f"{scan}: {error}; check that it shows the same head as the reference"
        raise VisitError(message) from error
    known = {
        "scale": asdict(scale),
        "conversion": asdict(seen.conversion),
        "levels": asdict(levels) if levels is not None else None,
    }
    return (
        write_volume(image, folder / f"{modality}.nii.gz"),
        write_text(json_text(known, indent=None), folder / f"{modality}.json"),
        write_volume(covered, folder / f"{modality}_coverage.nii.gz"),
    )


def _scale(
    kind: Modality,
    values: npt.NDArray[np.float32],
    part: PreparationPart,
    levels: TissueLevels | None,
) -> Scale:
    """The scale of a scan by its values; ValueError where they are no image."""
    scale = fit_scale(
        kind,
        values,
        log=kind.name in part.log,
        suvr=part.suvr == "mask" and kind.datatype == "pet",
        percentiles=part.percentiles,
    )
    return scale if levels is None else white_matter_scale(levels.white, values)


def _taught(kind: Modality, mask: Volume, covered: Volume) -> npt.NDArray[np.bool_]:
    """The voxels that decide an image's scale: of what the scan covers alone."""
    inside = core(mask) if kind.arbitrary else mask.array > 0
    there = covered.array > 0
    return inside & there if (inside & there).any() else (mask.array > 0) & there


def scan_on_grid(
    scan: Path, modality: str, mask: Volume, transform: Affine | None, conversion: Conversion
) -> Volume:
    """A scan at the voxels of the grid of a mask, in its modality's unit, resampled once as
    `resample_scan` does."""
    volume, kind = read_scan(scan, modality, conversion), MODALITIES[modality]
    within = _support(volume, kind, mask, transform)
    return _on_grid(volume, within, mask.grid, transform, kind.background)


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
    region: Path,
    images: Mapping[str, Path],
    scales: Mapping[str, Path],
    transforms: Mapping[str, Path],
    coverage: Mapping[str, Path],
    folder: Path,
    admitted: Path | None = None,
) -> Path:
    """The manifest of a prepared visit: every path, relative to `folder`, and figure, as JSON."""
    facts = json.loads(region.read_text("utf-8"))
    of_scans = {m: json.loads(p.read_text("utf-8")) for m, p in scales.items()}
    inside = read_mask(mask)
    base = read_volume(images[reference]).array
    odd = json.loads(admitted.read_text("utf-8")) if admitted is not None else {}
    quality = dict(facts["quality"])
    quality |= {f"outliers_{m}": float(n) for m, n in odd.get("held", {}).items()}
    partial: dict[str, Path] = {}
    for modality, path in coverage.items():
        covered = read_mask(path)
        quality[f"coverage_{modality}"] = share_of(covered, inside)
        if quality[f"coverage_{modality}"] < COMPLETE:
            partial[modality] = path
        if modality in transforms:
            other, both = read_volume(images[modality]).array, inside.array * covered.array
            quality[f"registration_{modality}"] = mutual_information(base, other, both)
    prepared = Prepared(
        visit=Visit("", None, {}),  # Not in the manifest: its reader knows of which visit it is.
        reference=reference,
        native=read_grid(native),
        grid=inside.grid,
        images=images,
        mask=mask,
        native_mask=native_mask,
        transforms=transforms,
        template=template,
        scales={m: Scale(**one["scale"]) for m, one in of_scans.items()},
        quality=quality,
        stripped=facts["stripped"],
        key=key,
        levels={m: levels_of(one["levels"]) for m, one in of_scans.items() if one["levels"]},
        conversions={m: Conversion(**one["conversion"]) for m, one in of_scans.items()},
        coverage=partial,
        notes=(*odd.get("notes", ()), *facts.get("notes", ())),
        contents=odd.get("contents", {}),
    )
    text = json_text(to_manifest(prepared, folder), indent=None)
    return write_text(text, folder / "prepared.json")
