"""Sidecars: what is said of a derivative beside it, and how it gets to its place."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bids_synth.bids.derivatives.dataset import refuse_raw_folder
from bids_synth.bids.derivatives.file_names import Region, sidecar_of
from bids_synth.bids.derivatives.uris import bids_uri, bids_uris
from bids_synth.bids.names import parse_name
from bids_synth.core.visit import Prepared, Visit
from bids_synth.errors import UsageError, VisitError
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import LEAST, json_text, read_json_object, stays_inside, write_text
from bids_synth.system.atomic import atomic_write


def write_sidecar(image: PurePosixPath, content: Mapping[str, Any], output: Path) -> Path:
    """Write the JSON beside an image of the output and return its path."""
    text = json_text(content) + "\n"
    return write_text(text, output / sidecar_of(image))


def read_sidecar(image: Path) -> dict[str, Any] | None:
    """The JSON beside an image; None where it is absent or broken."""
    return read_json_object(image.with_name(image.name.split(".", 1)[0] + ".json"))


def held_block(held: int, unit: str) -> dict[str, Any]:
    """The key `HeldToBounds` where voxels were below what the unit can be; else nothing."""
    block = {"Minimum": LEAST.get(unit), "Voxels": held, "Grid": "prepared"}
    return {"HeldToBounds": block} if held else {}


def resolution_text(grid: Grid, extent: str) -> str:
    """The `Resolution` key of an image whose name has `res-`; `extent` is what the grid shows."""
    size = " x ".join(f"{mm:.4g}" for mm in grid.spacing)
    shape = " x ".join(str(n) for n in grid.shape)
    return f"{size} mm, {shape} voxels, {extent}"


def native_block(
    prepared: Prepared,
    sources: Sequence[str],
    unit: str,
    output: Path,
    *,
    dataset: Path,
    region: Region,
) -> dict[str, Any]:
    """What is said of every image on the reference's native grid that is made of `sources`."""
    scans, transforms = prepared.visit.scans, prepared.transforms
    inputs = [scans[m].path for m in sources]
    inputs += [transforms[m] for m in sources if m in transforms]
    return {
        "Sources": bids_uris([*inputs, prepared.mask], output, dataset),
        "SpatialReference": bids_uri(scans[prepared.reference].path, output, dataset),
        "SkullStripped": prepared.stripped or region == "brain",
        "Units": unit,
    }


def refuse_shadow(path: PurePosixPath, visit: Visit, output: Path, dataset: Path) -> None:
    """Raise VisitError where a derivative would overwrite or be taken for an acquired image."""
    try:
        refuse_raw_folder(output, dataset)
    except UsageError as error:
        raise VisitError(str(error)) from error
    if not stays_inside((output / path).parent, output):
        message = f"{(output / path).parent}: is a link out of the output; make it a folder there"
        raise VisitError(message)
    raw_names = {scan.path.name for scan in visit.scans.values()}
    marked = "desc" in parse_name(path).entities or path.name.endswith("_xfm.txt")
    if not marked or path.name in raw_names or (dataset / path).exists():
        message = f"{output / path}: is the name of an acquired image; expected one with desc-"
        raise VisitError(message)


def copy_into(source: Path, target: Path) -> Path:
    """Copy a file by rename, whole or not at all, compressing where only the target is .gz."""
    if source.absolute() == target.absolute():
        return target
    with atomic_write(target) as part, source.open("rb") as plain, part.open("wb") as copy:
        if target.suffix == ".gz" and source.suffix != ".gz":
            # Neither name nor date: two jobs that copy the same image write the same bytes.
            with gzip.GzipFile("", "wb", 6, copy, mtime=0) as packed:
                shutil.copyfileobj(plain, packed)
        else:
            shutil.copyfileobj(plain, copy)
    return target


def withdraw(image: PurePosixPath, content: Mapping[str, Any], output: Path) -> None:
    """Remove an image of whom something else is about to be said.

    A kill between its sidecar and itself would leave an old image with the words of a new one.
    """
    if read_sidecar(output / image) != json.loads(json_text(content)):
        (output / image).unlink(missing_ok=True)
