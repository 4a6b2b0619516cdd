"""Model: a fitted recipe, one portable folder, checked before anything of it is used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from bids_synth.errors import ModelError, RecipeError, raise_all
from bids_synth.learn.baselines import Baselines, load_baselines
from bids_synth.learn.card import CARD_FORMAT, Card, FileEntry
from bids_synth.learn.networks import build_network, laid_out, network_parameters
from bids_synth.recipe import Recipe, load_recipe
from bids_synth.scale import Scale

MOST_SOURCES = 16
"""Sources beyond which the linear table of a stranger's model would fill the memory."""


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

    def fitted_on(self, participant: str) -> bool:
        """True where the model has learned or been selected from this participant."""
        return self.card.fitted_on(participant)

    def baselines(self) -> Baselines:
        """The trivial answers of the same training participants."""
        return load_baselines(self.folder)

    def networks(self) -> list[nn.Module]:
        """Every fold's and member's network with its weights, in evaluation mode."""
        networks = []
        for entry in self.card.weights:
            network = _empty_network(self.recipe)
            network.load_state_dict(load_file(self.folder / entry.file), assign=True)
            network.requires_grad_(requires_grad=False).eval()
            networks.append(laid_out(network, self.recipe))
        return networks


def load_model(folder: Path) -> Model:
    """Check and open a model folder; nothing in it is executed.

    Raises ModelError where a file is absent or altered, a version or key is unknown, a file
    name leads outside, or the tensors are not those of the recipe's network.
    """
    card = _read_card(folder)
    recipe = _read_recipe(folder, card)
    problems = [p for e in (*card.weights, *card.baselines) if (p := _file_problem(folder, e))]
    raise_all(ModelError, problems, intro=f"{folder}: is not a whole model:")
    wanted = _shapes(recipe)
    problems = [p for e in card.weights if (p := _tensor_problem(folder / e.file, wanted))]
    raise_all(ModelError, problems, intro=f"{folder}: weights do not fit the recipe's network:")
    return Model(folder, recipe, card)


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_card(folder: Path) -> Card:
    path = folder / "model.json"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = (
            f"{path}: cannot be read ({error}); expected a model folder made by "
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
        return f"{where}: unknown key; the model may be of a newer bids_synth: update it"
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}"


def _read_recipe(folder: Path, card: Card) -> Recipe:
    path = folder / "recipe.toml"
    try:
        recipe = load_recipe(path)
    except RecipeError as error:
        message = f"{path}: the model's recipe is refused: {error}"
        raise ModelError(message) from error
    problems = []
    if recipe.digest() != card.recipe:
        problems.append("recipe.toml is not the one the model was fitted with (digest differs)")
    if network_parameters(recipe) != card.network:
        problems.append("model.json describes another network than recipe.toml")
    if lacking := sorted(set(recipe.modalities) - set(card.scales)):
        problems.append(f"model.json has no scale for {', '.join(lacking)}")
    if len(recipe.sources) > MOST_SOURCES:
        problems.append(f"recipe.toml has more than {MOST_SOURCES} sources")
    raise_all(ModelError, problems, intro=f"{folder}: is inconsistent:")
    return recipe


def _file_problem(folder: Path, entry: FileEntry) -> str | None:
    path = folder / entry.file
    if not path.resolve().is_relative_to(folder.resolve()):
        return f"{entry.file} leads outside the model folder"
    if not path.is_file():
        return f"{entry.file} is missing; copy the whole folder again"
    found = sha256_of(path)
    if found != entry.sha256:
        return (
            f"{entry.file} has been altered: sha256 {found[:12]}..., expected "
            f"{entry.sha256[:12]}...; copy the folder again or fit anew"
        )
    return None


def _shapes(recipe: Recipe) -> dict[str, tuple[list[int], str]]:
    names = {torch.float32: "F32", torch.int64: "I64"}
    tensors = _empty_network(recipe).state_dict()
    return {name: (list(t.shape), names[t.dtype]) for name, t in tensors.items()}


def _empty_network(recipe: Recipe) -> nn.Module:
    with torch.device("meta"):
        return build_network(recipe)


def _tensor_problem(path: Path, wanted: Mapping[str, tuple[list[int], str]]) -> str | None:
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            found = {n: (list(s.get_shape()), str(s.get_dtype())) for n, s in slices.items()}
    except (SafetensorError, OSError) as error:
        return f"{path.name} is not a safetensors file ({error})"
    if found == dict(wanted):
        return None
    wrong = sorted(n for n in {*found, *wanted} if found.get(n) != wanted.get(n))
    return f"{path.name} has other tensors than the recipe's network: {', '.join(wrong[:3])}"
