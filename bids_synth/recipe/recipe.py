"""Recipe: a synthesis task as validated data, one TOML file."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, get_args

import tomli_w
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import Scale, scale_of_unit
from bids_synth.errors import RecipeError, did_you_mean, raise_all
from bids_synth.recipe.overrides import override, place
from bids_synth.recipe.sections.agreement import pointwise_problems, size_problems
from bids_synth.recipe.sections.base import Line, Part
from bids_synth.recipe.sections.fit import (
    EvaluationPart,
    ExtrasPart,
    FitPart,
    MissingPart,
    SynthesisPart,
)
from bids_synth.recipe.sections.network import (
    PLANAR,
    POINTWISE,
    NetworkPart,
    ResidualUNetPart,
)
from bids_synth.recipe.sections.objective import (
    CycleGanPart,
    ObjectivePart,
    PairedLosses,
    RegressionPart,
)
from bids_synth.recipe.sections.preparation import GridPart, PreparationPart
from bids_synth.recipe.sections.taught import UNTAUGHT, without
from bids_synth.recipe.sections.tune import SearchPart, flat_keys, misplaced
from bids_synth.recipe.tasks import Task, tasks_of

RECIPE_VERSION: Literal[1] = 1
LARGEST = 2**20
"""Bytes of a recipe's file beyond which it is not read."""
Role = Literal["either", "source", "target", "reference"]


class Recipe(Part):
    """A synthesis task: modalities and roles, grid, preparation, network, schedule, scores."""

    version: Literal[1] = RECIPE_VERSION
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)
    task: Line
    """One line: what is made from what."""
    source: Line = ""
    """The paper or system that the recipe follows."""
    modalities: dict[str, Role]
    """Modality -> role; `either` is source where present and target where absent, a `reference`
    is only what the others are registered to and where the mask is found."""
    minimum: int = Field(1, ge=1)
    """Number of sources without which nothing is synthesised."""
    grid: GridPart = GridPart()
    preparation: PreparationPart = PreparationPart()
    network: NetworkPart = ResidualUNetPart()
    objective: ObjectivePart = RegressionPart()
    missing: MissingPart = MissingPart()
    extras: ExtrasPart = ExtrasPart()
    fit: FitPart = FitPart()
    synthesis: SynthesisPart = SynthesisPart()
    evaluation: EvaluationPart = EvaluationPart()
    tune: dict[str, SearchPart] = Field(default_factory=dict)
    """Dotted key of the recipe -> values that `--tune` tries."""

    @field_validator("tune", mode="before")
    @classmethod
    def _flat(cls, table: Any) -> Any:
        return flat_keys(table)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        problems = []
        if unknown := [m for m in self.modalities if m not in MODALITIES]:
            problems.append(f"modalities: unknown {unknown}; allowed: {', '.join(MODALITIES)}")
        if not self.sources or not self.targets or len(self.modalities) < 2:
            problems.append("modalities: needs at least two, one a source and one a target")
        allowed = [m for m, role in self.modalities.items() if role != "target"]
        if stray := [m for m in self.preparation.reference if m not in allowed]:
            problems.append(
                f"preparation.reference: {stray} are no sources of the recipe; "
                f"allowed: {', '.join(allowed)}"
            )
        if self.minimum > len(self.sources):
            problems.append(f"minimum: {self.minimum} exceeds the {len(self.sources)} sources")
        if odd := [m for m in self.preparation.log if not MODALITIES[m].window]:
            problems.append(f"preparation.log: {odd} have no physical unit; take no logarithm")
        for chosen in self.evaluation.ablate:
            left = len(set(self.sources) - set(chosen))
            if not chosen or set(chosen) - set(self.sources) or left < self.minimum:
                problems.append(
                    f"evaluation.ablate: {list(chosen)} must name sources "
                    f"({', '.join(self.sources)}) and leave at least {self.minimum}"
                )
        problems += self._network_problems() + self._objective_problems()
        problems += size_problems(self.network, len(self.inputs), self.fit.patch)
        if not problems:
            problems += [text for key in self.tune if (text := misplaced(key))]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _network_problems(self) -> list[str]:
        problems, patch = [], self.fit.patch
        planar = self.network.name in PLANAR
        if planar != (patch[2] == 1):
            wanted = "[I, J, 1]: it sees slices" if planar else "[I, J, K]: it sees volumes"
            problems.append(f"fit.patch: network {self.network.name} needs {wanted}")
        elif any(n % self.network.divisor for n in (patch[:2] if planar else patch)):
            message = "not divisible by the network's levels; expected multiples of"
            problems.append(f"fit.patch: {message} {self.network.divisor}")
        if planar and isinstance(self.objective, PairedLosses) and self.objective.ssim:
            problems.append("objective.ssim: is for volumes; set it to 0 with a 2D network")
        if self.network.name in POINTWISE:
            problems += pointwise_problems(self.network, self.objective)
        return problems

    def _objective_problems(self) -> list[str]:
        problems, patch = [], self.fit.patch
        sides = patch[:2] if self.network.name in PLANAR else patch
        if isinstance(self.objective, CycleGanPart):
            if list(self.modalities.values()).count("either") != 2 or len(self.sources) != 2:
                problems.append("modalities: objective cycle-gan needs exactly two, both `either`")
            if self.inputs != self.sources:
                problems.append("extras: objective cycle-gan sees one image and nothing beside it")
            if self.fit.curve or self.fit.noise:
                bend = "fit.curve, fit.noise: would bend targets too, as there are no pairs"
                problems.append(f"{bend}; set them to 0")
        elif getattr(self.network, "knots", 0):
            problems.append("network.knots: is for recipes without pairs; leave it out")
        elif self.objective.empty:
            losses = "l1, l2, ssim, bce and features"
            problems.append(f"objective: {losses} are all 0; at least one must be positive")
        elif self.objective.features and not _is_features(self.objective.features_from):
            message = "expected `thresholds` or the path of a .safetensors, .pth or .pt file"
            problems.append(f"objective.features_from: {message}, as features has a weight")
        judge = getattr(self.objective, "discriminator", None)
        if judge and min(sides) < judge.least:
            problems.append(
                f"objective.discriminator: {judge.layers} layers and a tail of {judge.tail} need "
                f"patches of at least {judge.least}; take fewer layers or a larger fit.patch"
            )
        return problems

    def check_search(self) -> None:
        """Raise RecipeError where a value that `[tune]` would try is none of this recipe.

        Asked only before a search: a recipe with another network or objective may keep it.
        """
        problems = []
        for key, search in self.tune.items():
            for value in search.extremes:
                try:
                    self.with_values({key: value})
                except RecipeError as error:
                    problems.append(f"tune.{key}: {' '.join(str(error).split())}")
                    break
        raise_all(RecipeError, problems, intro=f"recipe {self.name}, section [tune]:")

    @property
    def least_patch(self) -> list[int]:
        """The smallest patch that network and discriminator can see."""
        judge = getattr(self.objective, "discriminator", None)
        step = math.lcm(8, self.network.divisor)
        length = step * math.ceil(max(16, judge.least if judge else 0) / step)
        return [length, length, 1 if self.dimension == "2D" else length]

    @property
    def unpaired(self) -> bool:
        """True where the network learns from images that need not be of one visit."""
        return isinstance(self.objective, CycleGanPart)

    @property
    def dimension(self) -> str:
        """`2D` where the network sees slices, `3D` where it sees volumes."""
        return "2D" if self.network.name in PLANAR else "3D"

    @property
    def sources(self) -> tuple[str, ...]:
        """Modalities that may be read, in the recipe's order."""
        return tuple(m for m, role in self.modalities.items() if role in ("either", "source"))

    @property
    def targets(self) -> tuple[str, ...]:
        """Modalities that may be made, in the recipe's order."""
        return tuple(m for m, role in self.modalities.items() if role in ("either", "target"))

    @property
    def inputs(self) -> tuple[str, ...]:
        """All that the network is shown: the sources, then the extras."""
        return (*self.sources, *self.extras.names(self.targets))

    @property
    def reference(self) -> tuple[str, ...]:
        """Modalities in order of preference as a visit's reference."""
        references = tuple(m for m, role in self.modalities.items() if role == "reference")
        return self.preparation.reference or (*references, *self.sources)

    def tasks(self, present: Collection[str], doubtful: Collection[str] = ()) -> tuple[Task, ...]:
        """The one rule of what can be made of what: of the modalities that a visit has.

        Real and missing targets, in the recipe's order, each from all other sources. None of
        the `doubtful`: a visit may have them under another name.
        """
        return tasks_of(
            self.targets, self.sources, present, minimum=self.minimum, doubtful=doubtful
        )

    def unit(self, modality: str) -> str:
        """Unit in which a synthetic image is written."""
        return "SUVR" if self._is_ratio(modality) else MODALITIES[modality].unit

    def shared_scale(self, modality: str) -> Scale | None:
        """Scale of all images of a modality, from `unit`; None where each image has its own."""
        log = modality in self.preparation.log
        return scale_of_unit(MODALITIES[modality], log=log, suvr=self._is_ratio(modality))

    def log_gain(self, modality: str) -> float | None:
        """ln of the ratio of the values that become 1 and 0; None where no logarithm is scaled."""
        scale = self.shared_scale(modality)
        return scale.gain if scale is not None and scale.log else None

    def _is_ratio(self, modality: str) -> bool:
        return self.preparation.suvr != "none" and MODALITIES[modality].datatype == "pet"

    def with_values(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe with other values of dotted keys and no search space; or RecipeError."""
        data = self.model_dump(mode="json", exclude={"tune"})
        for key, value in values.items():
            place(data, key, value)
        text = ", ".join(f"{key}={value}" for key, value in values.items())
        return validate_recipe(data, origin=f"recipe {self.name} with {text}")

    def limited_to(self, modalities: Sequence[str]) -> Recipe:
        """The same task with only these of its modalities; RecipeError where none is left."""
        data = self.model_dump(mode="json")
        either = [m for m, role in self.modalities.items() if role == "either"]
        data["modalities"] = {m: r for m, r in self.modalities.items() if m in modalities}
        kept = [m for m in self.preparation.reference if m in modalities]
        data["preparation"]["reference"] = kept
        left = sum(m in modalities for m in self.sources)
        data["minimum"] = max(1, min(self.minimum, left - any(m in modalities for m in either)))
        data["evaluation"]["ablate"] = [
            chosen
            for chosen in self.evaluation.ablate
            if set(chosen) <= set(modalities) and left - len(set(chosen)) >= data["minimum"]
        ]
        return validate_recipe(data, origin=f"recipe {self.name} limited to {list(modalities)}")

    def preparation_parameters(self) -> str:
        """Canonical JSON of what decides a prepared image, but for the choice of reference."""
        data = self.model_dump(mode="json", include={"grid", "preparation"})
        data["preparation"].pop("reference")
        return json.dumps(data, sort_keys=True)

    def taught(self) -> dict[str, Any]:
        """All of the recipe that decides weights: neither words nor what only scores or draws."""
        kept = without(self.model_dump(mode="json"), UNTAUGHT)
        # The order of the modalities is the network's.
        return kept | {"modalities": list(self.modalities.items())}

    def digest(self) -> str:
        """sha256 of the recipe but its search space, which decides no weights."""
        data = json.dumps(self.model_dump(mode="json", exclude={"tune"}), sort_keys=True)
        return hashlib.sha256(data.encode()).hexdigest()

    def to_toml(self) -> str:
        """The recipe as a TOML file that `load_recipe` reads back."""
        data = self.model_dump(mode="json")
        searches = self.tune.items()
        data["tune"] = {k: s.model_dump(mode="json", exclude_defaults=True) for k, s in searches}
        return tomli_w.dumps(data)


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    return tuple(sorted(_files()))


def load_recipe(name_or_path: str | Path, overrides: Mapping[str, str] | None = None) -> Recipe:
    """A recipe by name or from a TOML file, with `section.key` overrides applied.

    Raises RecipeError with every unknown or contradictory key and the allowed values.
    """
    text, origin = _read(str(name_or_path))
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"{origin}: is not valid TOML: {error}"
        raise RecipeError(message) from error
    for key, value in (overrides or {}).items():
        override(data, key, value)
    return validate_recipe(data, origin=origin)


def validate_recipe(data: Mapping[str, Any], *, origin: str) -> Recipe:
    """Check a recipe's data; RecipeError lists every fault with key and allowed values."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        lines = "".join(f"\n  - {_explain(fault)}" for fault in error.errors())
        message = f"{origin}: {error.error_count()} fault(s) in the recipe:{lines}"
        raise RecipeError(message) from error
    except (RecursionError, OverflowError) as error:
        message = f"{origin}: its sections or its numbers are without end ({error})"
        raise RecipeError(message) from error


def _files() -> dict[str, Traversable]:
    """Name -> file of the recipes that come with the package, classic and modern."""
    folders = files("bids_synth.recipe").joinpath("files").iterdir()
    every = (file for folder in folders for file in folder.iterdir())
    return {f.name.removesuffix(".toml"): f for f in every if f.name.endswith(".toml")}


def _read(name: str) -> tuple[str, str]:
    if name in recipe_names():
        return _files()[name].read_text(encoding="utf-8"), f"recipe {name}"
    path = Path(name)
    if path.suffix != ".toml":
        known = ", ".join(recipe_names())
        message = f"--recipe {name}: no such recipe; known: {known}; or give a .toml file"
        message += did_you_mean(name, recipe_names())
        raise RecipeError(message)
    try:
        if path.exists() and (not path.is_file() or path.stat().st_size > LARGEST):
            message = f"--recipe {path}: is no file of at most {LARGEST // 2**20} MiB"
            raise RecipeError(message)
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        text = getattr(error, "strerror", None) or "it is no text in UTF-8"
        message = f"--recipe {path}: cannot be read ({text})"
        raise RecipeError(message) from error


def _explain(fault: Mapping[str, Any]) -> str:
    where = [part for part in fault["loc"] if part not in _TAGS]
    if fault["type"] == "extra_forbidden":
        text = f"unknown key; allowed: {', '.join(_allowed(fault['loc']))}"
        return f"{'.'.join(map(str, where))}: {text}"
    if fault["type"].startswith("union_tag"):
        where.append("name")
    name = ".".join(map(str, where)) or "recipe"
    text = f"{name}: {fault['msg'].removeprefix('Value error, ')}"
    # What is wrong with the recipe as a whole is not told by showing the whole of it.
    return f"{text}, got {fault['input']!r:.80}" if fault["loc"] else text.removeprefix("recipe: ")


def _is_features(origin: str) -> bool:
    return origin == "thresholds" or origin.endswith((".safetensors", ".pth", ".pt"))


_UNIONS = {"network": NetworkPart, "objective": ObjectivePart}
_TAGS = {
    str(kind.model_fields["name"].default): kind
    for union in _UNIONS.values()
    for kind in get_args(get_args(union)[0])
}
"""Name of every network and objective -> the part that holds its keys."""


def _allowed(location: tuple[Any, ...]) -> list[str]:
    if location[0] == "tune":
        return list(SearchPart.model_fields)
    part: type[BaseModel] = Recipe
    for name in location[:-1]:
        kind = _TAGS.get(name)
        field = part.model_fields.get(str(name))
        inner = field.annotation if field else None
        if kind is not None:
            part = kind
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            part = inner
        elif name not in _UNIONS:
            return []
    return [field.alias or name for name, field in part.model_fields.items()]
