"""Manifest: a prepared visit as JSON data, its files told relative to a folder, and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bids_synth.core.scale import Scale
from bids_synth.core.tissue.levels import levels_of
from bids_synth.core.units import Conversion
from bids_synth.core.visit import Prepared, Visit
from bids_synth.spatial.grid import Grid


def to_manifest(prepared: Prepared, root: Path) -> dict[str, Any]:
    """All that rebuilds a prepared visit beside the visit itself."""
    return {
        "Key": prepared.key,
        "Reference": prepared.reference,
        "Native": _grid_data(prepared.native),
        "Grid": _grid_data(prepared.grid),
        "Scales": {m: asdict(scale) for m, scale in prepared.scales.items()},
        "Levels": {m: asdict(levels) for m, levels in prepared.levels.items()},
        "Conversions": {m: asdict(one) for m, one in prepared.conversions.items()},
        "Quality": dict(prepared.quality),
        "Stripped": prepared.stripped,
        "Contents": dict(prepared.contents),
        "Images": list(prepared.images),
        "Transforms": list(prepared.transforms),
        "Coverage": list(prepared.coverage),
        "Notes": list(prepared.notes),
        "Files": {name: _relative(path, root) for name, path in files_of(prepared).items()},
    }


def from_manifest(manifest: Mapping[str, Any], visit: Visit, root: Path) -> Prepared:
    """The inverse of `to_manifest`, wherever the folder has moved to.

    What older versions did not write is empty. KeyError, TypeError or ValueError for anything
    that is no manifest.
    """
    files = {name: _beside(root, path) for name, path in manifest["Files"].items()}
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
        levels={m: levels_of(one) for m, one in manifest.get("Levels", {}).items()},
        contents={str(m): str(content) for m, content in manifest.get("Contents", {}).items()},
    )


def files_of(prepared: Prepared) -> dict[str, Path]:
    """Every file of a prepared visit by its name in the manifest."""
    return {
        **{f"image {m}": path for m, path in prepared.images.items()},
        **{f"transform {m}": path for m, path in prepared.transforms.items()},
        **{f"coverage {m}": path for m, path in prepared.coverage.items()},
        "template": prepared.template,
        "native mask": prepared.native_mask,
        "mask": prepared.mask,
    }


def with_files(prepared: Prepared, files: Mapping[str, Path]) -> Prepared:
    """The same visit with other files, by the names of `files_of`."""
    return replace(
        prepared,
        images={m: files[f"image {m}"] for m in prepared.images},
        transforms={m: files[f"transform {m}"] for m in prepared.transforms},
        template=files["template"],
        native_mask=files["native mask"],
        mask=files["mask"],
        coverage={m: files[f"coverage {m}"] for m in prepared.coverage},
    )


def _relative(path: Path, root: Path) -> str:
    return PurePosixPath(os.path.relpath(path, root)).as_posix()


def _beside(root: Path, relative: str) -> Path:
    path = root / relative
    return Path(os.path.normpath(path)) if ".." in PurePosixPath(relative).parts else path


def _number(value: float | None) -> float:
    """A figure of a manifest; what could not be measured is null there."""
    return float("nan") if value is None else float(value)


def _grid_data(grid: Grid) -> dict[str, Any]:
    return {"Shape": list(grid.shape), "Affine": grid.affine.tolist()}


def _grid_of(data: Mapping[str, Any]) -> Grid:
    i, j, k = data["Shape"]
    return Grid((i, j, k), np.asarray(data["Affine"], dtype=np.float64))
