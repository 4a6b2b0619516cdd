"""Model: a fitted recipe, one portable folder, checked before anything of it is used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

from bids_synth.core.scale import Scale
from bids_synth.errors import ModelError, RecipeError, raise_all
from bids_synth.learn.baselines.baselines import Baselines, load_baselines
from bids_synth.learn.model.card import CARD_FORMAT, Card, FileEntry
from bids_synth.learn.model.integrity import (
    baselines_fault,
    file_fault,
    read_text,
    tensor_fault,
)
from bids_synth.learn.model.size_limits import empty_network, size_problems, tensors_of
from bids_synth.learn.model.start import load_start, start_tensors
from bids_synth.learn.networks import laid_out, network_parameters
from bids_synth.recipe.recipe import Recipe, load_recipe


@dataclass(frozen=True, eq=False)
class Model:
    """A folder whose files have been found whole and unaltered."""

    folder: Path
    recipe: Recipe
    card: Card

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.card.name

    @property
    def scales(self) -> Mapping[str, Scale]:
        """Modality -> population scale."""
        return self.card.scales

    @property
    def sha256(self) -> str:
        """One digest over the weights of every fold and member."""
        joined = "".join(w.sha256 for w in self.card.weights)
        return hashlib.sha256(joined.encode()).hexdigest()

    def baselines(self) -> Baselines:
        """The trivial answers of the same training participants."""
        return load_baselines(self.folder, self.recipe)

    def starts(self) -> list[nn.Module]:
        """The answers that the fits began from, as networks; none where they began from none."""
        return [load_start(self.folder / entry.file, self.recipe) for entry in self.card.start]

    def networks(self) -> list[nn.Module]:
        """Every fold's and member's network with its weights, in evaluation mode."""
        networks = []
        for entry in self.card.weights:
            network = empty_network(self.recipe)
            network.load_state_dict(load_file(self.folder / entry.file), assign=True)
            network.requires_grad_(requires_grad=False).eval()
            networks.append(laid_out(network, self.recipe))
        return networks


def load_model(folder: Path) -> Model:
    """Check and open a model folder; nothing in it is executed.

    Raises ModelError where a file is absent or altered, a version or key is unknown, a file
    name leads outside, the networks would be too large, or the tensors are not the recipe's.
    """
    card = _read_card(folder)
    recipe = _read_recipe(folder, card)
    problems = [p for e in _files(card) if (p := file_fault(folder, e))]
    if not problems and (text := baselines_fault(folder, card.baselines)):
        problems = [text]
    raise_all(ModelError, problems, intro=f"{folder}: is not a whole model:")
    raise_all(
        ModelError,
        size_problems(recipe, networks=len(card.weights) + len(card.start)),
        intro=f"{folder}: is too large to use:",
    )
    wanted = tensors_of(recipe)
    problems = [p for e in card.weights if (p := tensor_fault(folder / e.file, wanted))]
    problems += [p for e in card.start if (p := _start_fault(folder / e.file, recipe))]
    raise_all(ModelError, problems, intro=f"{folder}: weights do not fit the recipe's network:")
    return Model(folder, recipe, card)


def _files(card: Card) -> list[FileEntry]:
    return [*card.weights, *card.start, *card.baselines]


def _start_fault(path: Path, recipe: Recipe) -> str | None:
    faults = [tensor_fault(path, wanted) for wanted in start_tensors(recipe) if wanted]
    return faults[0] if all(faults) else None


def _read_card(folder: Path) -> Card:
    path = folder / "model.json"
    try:
        text = read_text(folder, path.name)
    except ModelError as error:
        message = (
            f"{error}; expected a model folder made by "
            "`bids_synth ... group`: fit one, or give --model its path"
        )
        raise ModelError(message) from error
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        message = f"{path}: is not a card this version knows (format {CARD_FORMAT}):"
        raise_all(ModelError, [_explain(f) for f in error.errors()], intro=message)
        raise


def _explain(fault: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "model.json"
    if fault["type"] == "extra_forbidden":
        return f"{where:.80}: unknown key; the model may be of a newer bids_synth: update it"
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}"


def _read_recipe(folder: Path, card: Card) -> Recipe:
    path = folder / "recipe.toml"
    text = read_text(folder, path.name)
    try:
        recipe = load_recipe(path)
    except RecipeError as error:
        message = f"{path}: the model's recipe is refused: {error}"
        raise ModelError(message) from error
    problems = []
    if hashlib.sha256(text.encode()).hexdigest() not in (card.recipe, *card.earlier):
        problems.append("recipe.toml is not the one the model was fitted with (sha256 differs)")
    if network_parameters(recipe) != card.network:
        problems.append("model.json describes another network than recipe.toml")
    if lacking := sorted(set(recipe.modalities) - set(card.scales)):
        problems.append(f"model.json has no scale for {', '.join(lacking)}")
    raise_all(ModelError, problems, intro=f"{folder}: is inconsistent:")
    return recipe
