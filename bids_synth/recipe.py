"""Recipe: a synthesis task as validated data, one TOML file."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from bids_synth.errors import RecipeError
from bids_synth.modality import MODALITIES

RECIPE_VERSION: Literal[1] = 1
Role = Literal["either", "source", "target"]
Patch = tuple[int, int, int]


class Part(BaseModel):
    """Base of every part of a recipe: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GridPart(Part):
    """Where a visit is prepared."""

    spacing: float = Field(1.0, ge=0.5, le=8.0)
    """Voxel size of the prepared grid, mm, isotropic."""
    margin: float = Field(6.0, ge=0.0, le=50.0)
    """Distance kept around the mask when cropping, mm."""


class PreparationPart(Part):
    """What is done to the images of a visit."""

    mask: Literal["brain", "head"] = "brain"
    """Where the network reads and writes."""
    bias_correction: bool = False
    """N4 (Tustison 2010) on every MRI; off because it lowered scores of an earlier system."""
    registration_spacing: float = Field(2.0, ge=0.5, le=4.0)
    """Voxel size of the copies on which rigid registration runs, mm."""
    reference: tuple[str, ...] = ()
    """Modalities in order of preference as reference; the recipe's order where empty."""


class NetworkPart(Part):
    """The generator."""

    name: Literal["residual-unet"] = "residual-unet"
    filters: int = Field(16, ge=4, le=128, multiple_of=4)
    """Feature maps at full resolution; they double at every level."""
    blocks: tuple[int, ...] = (1, 1, 1, 1)
    """Residual blocks per level going down; the number of levels is its length."""


class ObjectivePart(Part):
    """How the network learns."""

    name: Literal["regression"] = "regression"
    l1: float = Field(1.0, ge=0.0)
    """Weight of the mean absolute error on missing modalities."""
    l2: float = Field(0.0, ge=0.0)
    """Weight of the mean squared error on missing modalities: the mean image, less the median."""
    ssim: float = Field(0.2, ge=0.0)
    """Weight of 1 - SSIM on missing modalities."""


class MissingPart(Part):
    """How sources are withheld while fitting (any-missing recipes)."""

    ramp: float = Field(0.3, ge=0.0, le=1.0)
    """Fraction of the steps over which the chance of withholding more than one grows."""
    several: float = Field(0.5, ge=0.0, le=1.0)
    """Chance, after the ramp, of withholding more than one modality at once."""


class FitPart(Part):
    """The schedule."""

    patch: Patch = (64, 64, 64)
    """Voxels of a patch; synthesis uses the same, since normalisation sees the patch."""
    batch: int = Field(1, ge=1)
    steps: int = Field(20000, ge=1)
    """Optimiser steps of each member."""
    steps_per_epoch: int = Field(250, ge=1)
    """Steps between two looks at the validation participants."""
    learning_rate: float = Field(1e-3, gt=0.0)
    weight_decay: float = Field(1e-4, ge=0.0)
    ema: float = Field(0.995, ge=0.0, lt=1.0)
    """Decay per step of the averaged weights, which are the ones kept."""
    flip: float = Field(0.5, ge=0.0, le=1.0)
    """Chance of mirroring a patch left to right."""
    intensity: float = Field(0.1, ge=0.0, le=0.5)
    """Largest relative change of a source's gain, drawn per patch."""
    members: int = Field(2, ge=1, le=20)
    """Networks fitted from different seeds; their mean is the image, their spread is doubt."""
    validation: float = Field(0.15, gt=0.0, lt=0.5)
    """Fraction of the participants that selects weights."""
    test: float = Field(0.2, ge=0.0, lt=0.5)
    """Fraction of the participants that only the final scores see."""

    @field_validator("patch")
    @classmethod
    def _patch_divides(cls, patch: Patch) -> Patch:
        if any(n < 16 or n % 8 for n in patch):
            message = f"each length must be a multiple of 8 and at least 16, got {list(patch)}"
            raise ValueError(message)
        return patch


class SynthesisPart(Part):
    """How patches become a volume."""

    overlap: float = Field(0.5, ge=0.0, lt=0.9)
    """Shared fraction of neighbouring patches, blended by Gaussian weights."""


class EvaluationPart(Part):
    """How held-out visits are scored."""

    protocols: tuple[Literal["masked3d"], ...] = ("masked3d",)
    scenarios: Literal["one-missing", "all"] = "one-missing"
    """Withhold one modality at a time, or every subset of them."""
    bootstrap: int = Field(2000, ge=100)
    """Resamples of the 95 % interval over participants."""


class Recipe(Part):
    """A synthesis task: modalities and roles, grid, preparation, network, schedule, scores."""

    version: Literal[1] = RECIPE_VERSION
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    task: str
    """One line: what is made from what."""
    source: str = ""
    """The paper or system that the recipe follows."""
    modalities: dict[str, Role]
    """Modality -> role; `either` is source where present and target where absent."""
    minimum: int = Field(1, ge=1)
    """Number of sources without which nothing is synthesised."""
    grid: GridPart = GridPart()
    preparation: PreparationPart = PreparationPart()
    network: NetworkPart = NetworkPart()
    objective: ObjectivePart = ObjectivePart()
    missing: MissingPart = MissingPart()
    fit: FitPart = FitPart()
    synthesis: SynthesisPart = SynthesisPart()
    evaluation: EvaluationPart = EvaluationPart()

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        problems = []
        if unknown := [m for m in self.modalities if m not in MODALITIES]:
            problems.append(f"modalities: unknown {unknown}; allowed: {', '.join(MODALITIES)}")
        if not self.sources or not self.targets or len(self.modalities) < 2:
            problems.append("modalities: needs at least two, one a source and one a target")
        if stray := [m for m in self.preparation.reference if m not in self.sources]:
            problems.append(
                f"preparation.reference: {stray} are no sources of the recipe; "
                f"allowed: {', '.join(self.sources)}"
            )
        if self.minimum > len(self.sources):
            problems.append(f"minimum: {self.minimum} exceeds the {len(self.sources)} sources")
        if any(n % 2 ** (len(self.network.blocks) - 1) for n in self.fit.patch):
            problems.append("fit.patch: not divisible by the network's levels (network.blocks)")
        if self.objective.l1 == self.objective.l2 == self.objective.ssim == 0:
            problems.append("objective: l1, l2 and ssim are all 0; at least one must be positive")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """Modalities that may be read, in the recipe's order."""
        return tuple(m for m, role in self.modalities.items() if role != "target")

    @property
    def targets(self) -> tuple[str, ...]:
        """Modalities that may be made, in the recipe's order."""
        return tuple(m for m, role in self.modalities.items() if role != "source")

    @property
    def reference(self) -> tuple[str, ...]:
        """Modalities in order of preference as a visit's reference."""
        return self.preparation.reference or self.sources

    def limited_to(self, modalities: Sequence[str]) -> Recipe:
        """The same task with only these of its modalities; RecipeError where none is left."""
        data = self.model_dump(mode="json")
        data["modalities"] = {m: r for m, r in self.modalities.items() if m in modalities}
        kept = [m for m in self.preparation.reference if m in modalities]
        data["preparation"]["reference"] = kept
        data["minimum"] = max(1, min(self.minimum, len(data["modalities"]) - 1))
        return validate_recipe(data, origin=f"recipe {self.name} limited to {list(modalities)}")

    def preparation_parameters(self) -> str:
        """Canonical JSON of what decides a prepared image, but for the choice of reference."""
        data = self.model_dump(mode="json", include={"grid", "preparation"})
        data["preparation"].pop("reference")
        return json.dumps(data, sort_keys=True)

    def digest(self) -> str:
        """sha256 of the whole recipe."""
        data = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(data.encode()).hexdigest()

    def to_toml(self) -> str:
        """The recipe as a TOML file that `load_recipe` reads back."""
        return tomli_w.dumps(self.model_dump(mode="json"))


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    folder = files("bids_synth").joinpath("recipes")
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml")))


def load_recipe(name_or_path: str | Path, overrides: Mapping[str, str] | None = None) -> Recipe:
    """A recipe by name or from a TOML file, with `section.key` overrides applied.

    Raises RecipeError with every unknown or contradictory key and the allowed values.
    """
    text, origin = _read(str(name_or_path))
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"{origin}: is not valid TOML: {error}"
        raise RecipeError(message) from error
    for key, value in (overrides or {}).items():
        _override(data, key, value)
    return validate_recipe(data, origin=origin)


def validate_recipe(data: Mapping[str, Any], *, origin: str) -> Recipe:
    """Check a recipe's data; RecipeError lists every fault with key and allowed values."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        lines = "".join(f"\n  - {_explain(fault)}" for fault in error.errors())
        message = f"{origin}: {error.error_count()} fault(s) in the recipe:{lines}"
        raise RecipeError(message) from error


def _read(name: str) -> tuple[str, str]:
    if name in recipe_names():
        resource = files("bids_synth").joinpath("recipes", f"{name}.toml")
        return resource.read_text(encoding="utf-8"), f"recipe {name}"
    path = Path(name)
    if path.suffix != ".toml":
        known = ", ".join(recipe_names())
        message = f"--recipe {name}: no such recipe; known: {known}; or give a .toml file"
        raise RecipeError(message)
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except OSError as error:
        message = f"--recipe {path}: cannot be read ({error.strerror})"
        raise RecipeError(message) from error


def _override(data: dict[str, Any], key: str, value: str) -> None:
    *sections, last = key.split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            message = f"--set {key}={value}: {section} is a value, not a section"
            raise RecipeError(message)
    try:
        data[last] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        data[last] = value


def _explain(fault: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "recipe"
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown key; allowed: {', '.join(_allowed(fault['loc']))}"
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}, got {fault['input']!r:.80}"


def _allowed(location: tuple[Any, ...]) -> list[str]:
    part: type[BaseModel] = Recipe
    for name in location[:-1]:
        annotation = part.model_fields[str(name)].annotation if name in part.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        part = annotation
    return list(part.model_fields)
