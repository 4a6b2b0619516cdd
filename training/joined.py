"""Joined: one model of two, whose answer is the mean of the networks of both.

What real participants teach and what drawn heads teach err in different ways: see
docs/decisions/0017-heads-as-a-second-opinion.md.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from bids_synth.learn.model.card import StartEntry, WeightsEntry
from bids_synth.learn.model.export import member_name
from bids_synth.learn.model.model import Model, load_model
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import sha256_of, write_text
from bids_synth.system.atomic import part_of


def joined(model: Path, other: Path, place: Path, *, own: int = 1) -> Path:
    """A model with the first networks of one, all of the other, and the card of the first.

    Raises ValueError where the two do not have the same network, modalities and preparation.
    """
    first, second = load_model(model), load_model(other)
    if _what_they_share(first.recipe) != _what_they_share(second.recipe):
        message = f"{model} and {other}: cannot be joined, their recipes differ"
        raise ValueError(message)
    with part_of(place, folder=True) as part:
        shutil.copytree(model, part, dirs_exist_ok=True)
        shutil.rmtree(part / "weights")
        (part / "weights").mkdir()
        for entry in first.card.baselines:
            shutil.copyfile(model / entry.file, part / entry.file)
        taken = [(first, n) for n in range(own)]
        taken += [(second, n) for n in range(len(second.card.weights))]
        weights = [_weights(one, n, number, part) for number, (one, n) in enumerate(taken)]
        starts = [_start(one, n, number, part) for number, (one, n) in enumerate(taken)]
        fit = first.recipe.fit.model_copy(update={"members": len(taken)})
        text = first.recipe.model_copy(update={"fit": fit}).to_toml()
        write_text(text, part / "recipe.toml")
        update = {"recipe": sha256_of(part / "recipe.toml"), "weights": weights, "start": starts}
        write_text(first.card.model_copy(update=update).text(), part / "model.json")
        load_model(part)
        shutil.rmtree(place, ignore_errors=True)
        part.rename(place)
    return place


def _what_they_share(recipe: Recipe) -> tuple[object, ...]:
    return recipe.network, recipe.modalities, recipe.preparation, recipe.grid


def _weights(model: Model, own: int, number: int, folder: Path) -> WeightsEntry:
    entry = model.card.weights[own]
    file = f"weights/{member_name(0, number)}.safetensors"
    shutil.copyfile(model.folder / entry.file, folder / file)
    return entry.model_copy(update={"file": file, "fold": 0, "member": number})


def _start(model: Model, own: int, number: int, folder: Path) -> StartEntry:
    entry = model.card.start[own]
    file = f"weights/start_{member_name(0, number)}.safetensors"
    shutil.copyfile(model.folder / entry.file, folder / file)
    return entry.model_copy(update={"file": file, "fold": 0, "member": number})
