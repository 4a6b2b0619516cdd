"""Prepared: a prepared visit as derivatives, and back from them without preparing again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bids_synth.bids.derivatives.file_names import OutputNames, Region, sidecar_of
from bids_synth.bids.derivatives.sidecars import (
    copy_into,
    read_sidecar,
    refuse_shadow,
    resolution_text,
    write_sidecar,
)
from bids_synth.bids.derivatives.uris import bids_uri, bids_uris
from bids_synth.bids.names import derivative_path
from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import Scale
from bids_synth.core.units import BY_VALUES, UNTOLD, Conversion
from bids_synth.core.visit import Prepared, Visit
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import sha256_of, stays_inside

MANIFEST = "Preparation"
"""Key, in the sidecar of the mask on the prepared grid, of all that rebuilds a Prepared."""


def write_prepared(
    prepared: Prepared, output: Path, *, dataset: Path, region: Region = "brain"
) -> Prepared:
    """Copy a prepared visit into the output and return it with paths that point there.

    The mask on the prepared grid comes last and marks that all the rest is there; `region`
    is the recipe's `preparation.mask`. Raises VisitError rather than touch raw data.
    """
    names = OutputNames(prepared.visit, prepared.reference)
    paths = _paths(prepared, names, region)
    for path in paths.values():
        refuse_shadow(path, prepared.visit, output, dataset)
    _withdraw_other(output, paths["mask"], prepared.key)
    placed = _placed(prepared, {key: output / path for key, path in paths.items()})
    sidecars = _sidecars(prepared, placed, output, dataset, region)
    sources = _flat(prepared)
    digests: dict[str, str] = {}
    for key, path in sorted(paths.items(), key=lambda item: item[0] == "mask"):
        if key == "mask":
            sidecars[key][MANIFEST]["SHA256"] = digests
        if key in sidecars:
            write_sidecar(path, sidecars[key], output)
        digests[key] = sha256_of(copy_into(sources[key], output / path))
    return placed


def find_prepared(visit: Visit, output: Path, *, key: str) -> Prepared | None:
    """The prepared visit that was written under this key.

    None where any file is absent or another preparation has written it anew.
    """
    anat = (
        output
        / derivative_path(visit.participant, visit.session, "anat", "mask", entities={}).parent
    )
    for path in sorted(anat.glob("*_res-*_mask.json")):
        manifest = (read_sidecar(path) or {}).get(MANIFEST)
        if isinstance(manifest, dict) and manifest.get("Key") == key:
            try:
                found = _from_manifest(manifest, visit, output)
                if _untouched(_flat(found), dict(manifest["SHA256"]), output):
                    return found
            except (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError):
                continue
    return None


def _withdraw_other(output: Path, mask: PurePosixPath, key: str) -> None:
    """Remove the mark of another preparation. One of this key stays: a job may be reading it."""
    manifest = (read_sidecar(output / mask) or {}).get(MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("Key") != key:
        (output / mask).unlink(missing_ok=True)
        (output / sidecar_of(mask)).unlink(missing_ok=True)


def _untouched(files: Mapping[str, Path], digests: Mapping[str, str], output: Path) -> bool:
    """True where every file but the mask that holds the digests is the one that was written."""
    return all(
        stays_inside(path, output)
        and path.is_file()
        and (name == "mask" or sha256_of(path) == digests.get(name))
        for name, path in files.items()
    )


def _paths(prepared: Prepared, names: OutputNames, region: Region) -> dict[str, PurePosixPath]:
    images = {f"image {m}": names.prepared(m, prepared.grid, region) for m in prepared.images}
    transforms = {f"transform {m}": names.transform(m) for m in prepared.transforms}
    covered = {f"coverage {m}": names.coverage(m, prepared.grid) for m in prepared.coverage}
    return {
        **images,
        **transforms,
        **covered,
        "template": names.template(),
        "native mask": names.mask(region),
        "mask": names.mask(region, prepared.grid),
    }


def _flat(prepared: Prepared) -> dict[str, Path]:
    """Every file of a prepared visit by the keys of `_paths`."""
    images = {f"image {m}": path for m, path in prepared.images.items()}
    transforms = {f"transform {m}": path for m, path in prepared.transforms.items()}
    single = {
        "template": prepared.template,
        "native mask": prepared.native_mask,
        "mask": prepared.mask,
    }
    covered = {f"coverage {m}": path for m, path in prepared.coverage.items()}
    return images | transforms | covered | single


def _placed(prepared: Prepared, files: Mapping[str, Path]) -> Prepared:
    """The inverse of `_flat`: the same visit with other files."""
    return replace(
        prepared,
        images={m: files[f"image {m}"] for m in prepared.images},
        transforms={m: files[f"transform {m}"] for m in prepared.transforms},
        template=files["template"],
        native_mask=files["native mask"],
        mask=files["mask"],
        coverage={m: files[f"coverage {m}"] for m in prepared.coverage},
    )


def _sidecars(
    prepared: Prepared, placed: Prepared, output: Path, dataset: Path, region: Region
) -> dict[str, dict[str, Any]]:
    scans = prepared.visit.scans
    reference = scans[prepared.reference].path
    common = {"SpatialReference": bids_uri(reference, output, dataset)}
    on_grid = {"Resolution": resolution_text(prepared.grid)}
    result: dict[str, dict[str, Any]] = {}
    for modality in prepared.images:
        inputs = [scans[modality].path, *_present(placed.transforms.get(modality))]
        result[f"image {modality}"] = {
            "Description": f"{modality} resampled to the space of the {prepared.reference}",
            "Sources": bids_uris(inputs, output, dataset),
            **common,
            **on_grid,
            "SkullStripped": prepared.stripped,
            **_units(prepared, modality),
        }
    for key, extra in (("native mask", {}), ("mask", on_grid)):
        result[key] = {
            "Description": f"{region.capitalize()} mask: where models read and write",
            "Type": "Brain" if region == "brain" else "ROI",
            "Sources": bids_uris([reference, placed.template], output, dataset),
            **common,
            **extra,
        }
    for modality in prepared.coverage:
        result[f"coverage {modality}"] = {
            "Description": f"Where the {modality} was acquired: 1 inside its field of view",
            "Type": "ROI",
            "Sources": bids_uris([scans[modality].path], output, dataset),
            **common,
            **on_grid,
        }
    result["mask"][MANIFEST] = _manifest(prepared, placed, output)
    return result


def _units(prepared: Prepared, modality: str) -> dict[str, Any]:
    """The unit of a prepared image, and how its scan came to it where it was another."""
    found = prepared.conversions.get(modality, UNTOLD)
    told = {"Units": found.becomes or MODALITIES[modality].unit}
    if found.factor == 1.0 and not found.remark and found.by != BY_VALUES:
        return told
    block = {"From": found.unit, "Factor": found.factor, "By": found.by, "Remark": found.remark}
    return {**told, "UnitConversion": {key: value for key, value in block.items() if value}}


def _present(path: Path | None) -> list[Path]:
    return [] if path is None else [path]


def _manifest(prepared: Prepared, placed: Prepared, output: Path) -> dict[str, Any]:
    relative = {k: path.relative_to(output).as_posix() for k, path in _flat(placed).items()}
    return {
        "Key": prepared.key,
        "Reference": prepared.reference,
        "Native": _grid_data(prepared.native),
        "Grid": _grid_data(prepared.grid),
        "Scales": {m: asdict(scale) for m, scale in prepared.scales.items()},
        "Conversions": {m: asdict(one) for m, one in prepared.conversions.items()},
        "Quality": dict(prepared.quality),
        "Stripped": prepared.stripped,
        "Contents": dict(prepared.contents),
        "Images": list(prepared.images),
        "Transforms": list(prepared.transforms),
        "Coverage": list(prepared.coverage),
        "Notes": list(prepared.notes),
        "Files": relative,
    }


def _from_manifest(manifest: Mapping[str, Any], visit: Visit, output: Path) -> Prepared:
    files = {key: output / path for key, path in manifest["Files"].items()}
    return Prepared(
        visit=visit,
        reference=manifest["Reference"],
        native=_grid_of(manifest["Native"]),
        grid=_grid_of(manifest["Grid"]),
        images={m: files[f"image {m}"] for m in manifest["Images"]},
        mask=files["mask"],
        native_mask=files["native mask"],
        transforms={m: files[f"transform {m}"] for m in manifest["Transforms"]},
        template=files["template"],
        scales={m: Scale(**scale) for m, scale in manifest["Scales"].items()},
        quality={str(n): _number(value) for n, value in manifest["Quality"].items()},
        stripped=bool(manifest["Stripped"]),
        key=manifest["Key"],
        conversions={m: Conversion(**c) for m, c in manifest.get("Conversions", {}).items()},
        coverage={m: files[f"coverage {m}"] for m in manifest.get("Coverage", ())},
        notes=tuple(str(note) for note in manifest.get("Notes", ())),
        contents={str(m): str(found) for m, found in manifest.get("Contents", {}).items()},
    )


def _number(value: float | None) -> float:
    """A figure of a manifest; what could not be measured is null there."""
    return float("nan") if value is None else float(value)


def _grid_data(grid: Grid) -> dict[str, Any]:
    return {"Shape": list(grid.shape), "Affine": grid.affine.tolist()}


def _grid_of(data: Mapping[str, Any]) -> Grid:
    i, j, k = data["Shape"]
    return Grid((i, j, k), np.asarray(data["Affine"], dtype=np.float64))
