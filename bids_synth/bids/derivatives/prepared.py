"""Prepared: a prepared visit as derivatives, and back from them without preparing again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

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
from bids_synth.core.manifest import files_of, from_manifest, to_manifest, with_files
from bids_synth.core.modality import MODALITIES
from bids_synth.core.units import BY_VALUES, UNTOLD
from bids_synth.core.visit import Prepared, Visit
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
    placed = with_files(prepared, {key: output / path for key, path in paths.items()})
    sidecars = _sidecars(prepared, placed, output, dataset, region)
    sources = files_of(prepared)
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
                prepared = from_manifest(manifest, visit, output)
                if _untouched(files_of(prepared), dict(manifest["SHA256"]), output):
                    return prepared
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
    """The places in the output of the files of `files_of`."""
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


def _sidecars(
    prepared: Prepared, placed: Prepared, output: Path, dataset: Path, region: Region
) -> dict[str, dict[str, Any]]:
    scans = prepared.visit.scans
    reference = scans[prepared.reference].path
    common = {"SpatialReference": bids_uri(reference, output, dataset)}
    on_grid = {"Resolution": resolution_text(prepared.grid, "cropped around the mask")}
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
    result["mask"][MANIFEST] = to_manifest(placed, output)
    return result


def _units(prepared: Prepared, modality: str) -> dict[str, Any]:
    """The unit of a prepared image, and how its scan came to it where it was another."""
    conversion = prepared.conversions.get(modality, UNTOLD)
    units = {"Units": conversion.becomes or MODALITIES[modality].unit}
    if conversion.factor == 1.0 and not conversion.remark and conversion.by != BY_VALUES:
        return units
    block = {
        "From": conversion.unit,
        "Factor": conversion.factor,
        "By": conversion.by,
        "Remark": conversion.remark,
    }
    return {**units, "UnitConversion": {key: value for key, value in block.items() if value}}


def _present(path: Path | None) -> list[Path]:
    return [] if path is None else [path]
