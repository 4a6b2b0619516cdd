"""Integrity: what a stranger's model folder must answer to before one of its files is used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from bids_synth.errors import ModelError
from bids_synth.learn.model.card import FileEntry
from bids_synth.learn.model.size_limits import Tensors
from bids_synth.recipe.sections.base import MOST_NAMES
from bids_synth.spatial.volume import sha256_of, stays_inside

LARGEST_TEXT = 16 * 2**20
"""Bytes of a text file of a model."""
MOST_MEAN = 2**24
"""Voxels of a mean image, 256 a side."""
MOST_KNOTS = 257
"""Quantiles of one modality."""
BASELINES = ("baselines.json", "weights/baselines.safetensors")


def read_text(folder: Path, name: str) -> str:
    """A text file of the folder; ModelError where it is no plain, small file inside it."""
    path = folder / name
    try:
        if fault := _place_fault(folder, name):
            message = f"{path}: {fault}"
            raise ModelError(message)
        if path.stat().st_size > LARGEST_TEXT:
            message = f"{path}: is larger than {LARGEST_TEXT // 2**20} MiB; copy the folder again"
            raise ModelError(message)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read ({error}); copy the whole folder again"
        raise ModelError(message) from error


def file_fault(folder: Path, entry: FileEntry) -> str | None:
    """Why a file is not the one that the card names; None where it is."""
    if fault := _place_fault(folder, entry.file):
        return f"{entry.file} {fault}"
    digest = sha256_of(folder / entry.file)
    if digest != entry.sha256:
        return (
            f"{entry.file} has been altered: sha256 {digest[:12]}..., expected "
            f"{entry.sha256[:12]}...; copy the folder again or fit anew"
        )
    return None


def tensor_fault(path: Path, wanted: Tensors, *, optional: Iterable[str] = ()) -> str | None:
    """Why the tensors of a file, by its header alone, are not those that are wanted."""
    try:
        with safe_open(path, framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            tensors = {n: (list(s.get_shape()), str(s.get_dtype())) for n, s in slices.items()}
    except (SafetensorError, OSError) as error:
        return f"{path.name} is not a safetensors file ({error})"
    required = wanted.keys() - set(optional)
    wrong = sorted(n for n in {*tensors, *required} if tensors.get(n) != wanted.get(n))
    if not wrong:
        return None
    return f"{path.name} has other tensors than expected: {', '.join(wrong[:3])}"


def baselines_fault(folder: Path, entries: Iterable[FileEntry]) -> str | None:
    """Why the baselines cannot be read: other files, or other tensors than they describe."""
    names = sorted(entry.file for entry in entries)
    if names != sorted(BASELINES):
        return f"model.json must name the baselines {' and '.join(BASELINES)}, got {names}"
    try:
        wanted = _baseline_tensors(json.loads(read_text(folder, BASELINES[0])))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return f"{BASELINES[0]} does not describe baselines ({error}); fit the model again"
    means = [name for name in wanted if not name.startswith("gram.")]
    return tensor_fault(folder / BASELINES[1], wanted, optional=means)


def _baseline_tensors(data: Mapping[str, Any]) -> Tensors:
    """All that `Baselines.save` may have written beside this description."""
    names = [str(name) for name in data["modalities"]]
    shape = [int(n) for n in data["grid"]["shape"]]
    if len(shape) != 3 or min(shape) < 1 or prod(shape) > MOST_MEAN or len(names) > MOST_NAMES:
        message = f"mean images of {shape} voxels of {len(names)} modalities"
        raise ValueError(message)
    side = len(names) + 1
    wanted: Tensors = {f"gram.{n}": ([side, side], "F64") for n in range(len(data["present"]))}
    means = product(("image", "weight"), names)
    knots = int(data.get("knots", 0))
    if not 0 <= knots <= MOST_KNOTS:
        message = f"quantiles at {knots} shares"
        raise ValueError(message)
    wanted |= {f"quantiles.{name}": ([knots], "F64") for name in names if knots}
    return wanted | {f"{kind}.{name}": (shape, "F32") for kind, name in means}


def _place_fault(folder: Path, name: str) -> str | None:
    path = folder / name
    if not stays_inside(path, folder):
        return "leads outside the model folder"
    if not path.is_file():
        return "is missing; copy the whole folder again"
    return None
