"""Exported: a folder for other programs that carries its model, and the model taken out again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bids_synth import __version__
from bids_synth.errors import ModelError, UsageError
from bids_synth.learn.exchange.bundle import write_bundle
from bids_synth.learn.exchange.onnx_file import write_onnx
from bids_synth.learn.exchange.portable import description
from bids_synth.learn.model.integrity import read_text
from bids_synth.learn.model.model import Model, load_model
from bids_synth.system.atomic import atomic_write

FORMAT, VERSION = "bids_synth-export", 1
ABOUT = "export.json"
CARRIED = "bids_synth"
"""Folder of an exported one in which the model lies as it was."""
WRITERS: Mapping[str, Callable[[Model, Path], None]] = MappingProxyType(
    {"monai-bundle": write_bundle, "onnx": write_onnx}
)


def export_model(model: Model, folder: Path, kind: str) -> None:
    """Write a folder of a kind of `WRITERS`, which appears whole.

    It carries what synthesis needs of the model's own folder, byte by byte: no labels of
    participants, no logs. Raises UsageError where the folder is there, ModelError where the kind
    cannot hold the networks.
    """
    _require_free(folder)
    with atomic_write(folder, folder=True) as part:
        WRITERS[kind](model, part)
        _copy_model(model, part / CARRIED)
        about = {"format": FORMAT, "version": VERSION, "kind": kind, "by": __version__}
        text = json.dumps({**about, **description(model)}, indent=2)
        (part / ABOUT).write_text(text + "\n", encoding="utf-8")
        text = f"{model.name}\n\nLicence: {model.card.licence}\n\n{model.card.intended_use}\n"
        (part / "LICENSE").write_text(text, encoding="utf-8")


def import_model(folder: Path, place: Path) -> Model:
    """Take the model out of a folder that `export_model` wrote; returns it, checked.

    Graphs, scripts and pickled weights beside it are never opened. Raises ModelError where the
    folder was not written by bids_synth or its model is not whole, UsageError where `place` is
    there.
    """
    _require_free(place)
    about = _about(folder)
    model = load_model(folder / CARRIED)
    if about.get("weights_sha256") != model.sha256:
        message = (
            f"{folder}: {ABOUT} speaks of other weights than {CARRIED}/ holds; export it again"
        )
        raise ModelError(message)
    with atomic_write(place, folder=True) as part:
        _copy_model(model, part)
        taken = load_model(part)
    return replace(taken, folder=place)


def _copy_model(model: Model, place: Path) -> None:
    card = model.card
    named = [entry.file for entry in (*card.weights, *card.start, *card.baselines)]
    for name in ("model.json", "recipe.toml", *named):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model.folder / name, place / name)


def _require_free(place: Path) -> None:
    if place.exists() or place.is_symlink():
        message = f"{place}: is there already; remove it, or give another folder"
        raise UsageError(message)


def _about(folder: Path) -> Mapping[str, Any]:
    """What an exported folder says of itself; ModelError where bids_synth did not write it."""
    wanted = "expected a folder that `bids_synth export` wrote"
    if not (folder / ABOUT).is_file():
        kind = "a MONAI bundle" if (folder / "configs/metadata.json").is_file() else "a folder"
        message = (
            f"{folder}: is {kind} without {ABOUT}, so its preparation and scales are not known; "
            f"{wanted}"
        )
        raise ModelError(message)
    try:
        about: Mapping[str, Any] = json.loads(read_text(folder, ABOUT))
        told = (about["format"], about["version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        message = f"{folder / ABOUT}: is not what bids_synth writes ({error}); {wanted}"
        raise ModelError(message) from error
    if told != (FORMAT, VERSION):
        message = (
            f"{folder / ABOUT}: is {told[0]!r:.60} {told[1]!r:.20}, not {FORMAT} {VERSION}; "
            f"{wanted}, or update bids_synth"
        )
        raise ModelError(message)
    return about
