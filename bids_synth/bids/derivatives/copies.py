"""Copies: a synthetic or computed image in a template, beside that on the reference's grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from bids_synth.bids.derivatives.file_names import OutputNames
from bids_synth.bids.derivatives.sidecars import (
    read_sidecar,
    resolution_text,
    withdraw,
    write_sidecar,
)
from bids_synth.bids.names import parse_name
from bids_synth.core.settings import OutputSpace
from bids_synth.core.visit import Prepared
from bids_synth.errors import VisitError
from bids_synth.spatial.volume import Volume, hold_to_bounds, write_volume

_SAME = ("PreparationKey", "SynthesisModel", "ClosedForm")
"""Keys in which the sidecar of a copy agrees with that of its original."""
_TEMPLATEFLOW = "https://templateflow.s3.amazonaws.com"


def write_copies(
    volumes: Mapping[Path, Volume], prepared: Prepared, space: OutputSpace, output: Path
) -> list[Path]:
    """Write copies of images of the output in a template, each with its sidecar.

    `volumes` maps the original's path to its values on the template's grid. The sidecar says
    what the original's does, and names the original and the transform as sources.
    """
    names = {path: copy_of(path.relative_to(output), space) for path in volumes}
    transform = OutputNames(prepared.visit, prepared.reference).template()
    written = []
    for path, volume in volumes.items():
        original = read_sidecar(path)
        if original is None:
            message = f"{path}: its sidecar cannot be read; run again with --overwrite"
            raise VisitError(message)
        source = path.relative_to(output).as_posix()
        block = original | {
            "Description": f"{original['Description']}; resampled to {space.name} by an affine",
            "Sources": [f"bids::{source}", f"bids::{transform}"],
            "Resolution": resolution_text(volume.grid, f"res-{space.resolution} of {space.name}"),
        }
        del block["SpatialReference"]
        if space.image is not None:
            block["SpatialReference"] = f"{_TEMPLATEFLOW}/tpl-{space.name}/{space.image.name}"
        maps = {f"bids::{p.relative_to(output).as_posix()}": name for p, name in names.items()}
        if (doubt := original.get("Uncertainty")) and doubt.get("Map") in maps:
            block["Uncertainty"] = doubt | {"Map": f"bids::{maps[doubt['Map']]}"}
        withdraw(names[path], block, output)
        sidecar = write_sidecar(names[path], block, output)
        bounded = hold_to_bounds(volume)[0]  # Interpolation rounds.
        written += [write_volume(bounded, output / names[path]), sidecar]
    return written


def copy_of(original: PurePosixPath | Path, space: OutputSpace) -> PurePosixPath:
    """Name of the copy of an image, relative to the output like the original.

    >>> one = PurePosixPath("sub-01/anat/sub-01_space-T1w_desc-synth_T2w.nii.gz")
    >>> copy_of(one, OutputSpace("MNI152NLin2009aSym", "2")).name
    'sub-01_space-MNI152NLin2009aSym_res-2_desc-synth_T2w.nii.gz'
    """
    name = parse_name(PurePosixPath(original))
    entities = {**name.entities, "space": space.name, "res": space.resolution}
    return replace(name, entities=entities).path


def copy_is_current(original: Path, space: OutputSpace, output: Path) -> bool:
    """Whether the copy is there, of the same preparation and model or formula as its original."""
    copy = output / copy_of(original.relative_to(output), space)
    here: dict[str, Any] = read_sidecar(original) or {}
    there: dict[str, Any] = read_sidecar(copy) or {}
    known = "PreparationKey" in there and copy.is_file()
    return known and all(there.get(key) == here.get(key) for key in _SAME)
