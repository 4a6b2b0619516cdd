"""Every key of every section of a recipe changes what is made: one demonstration each."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import optuna
import pytest
import torch
from feature_files import vgg_file
from learn_kill import PEOPLE, curve
from learn_toys import make_visit, minus_error, prepare_toys, toy_recipe, toy_split
from lightning.fabric import Fabric
from prepare_phantom import make_scan, motion, truth_mask
from pydantic import BaseModel
from torch.utils.data import DataLoader

import bids_synth
from bids_synth.core.settings import Settings
from bids_synth.core.visit import Scan, Visit
from bids_synth.errors import RecipeError
from bids_synth.learn.data.array_cache import Stored, open_store
from bids_synth.learn.data.auxiliary_inputs import auxiliary_inputs_of
from bids_synth.learn.data.dataset import Patches
from bids_synth.learn.features.loss import features_of
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.fit.loop import dataset_of, take_step
from bids_synth.learn.fit.tune import _suggest
from bids_synth.learn.model.model import Model
from bids_synth.learn.networks import build_network
from bids_synth.learn.networks.own import admit
from bids_synth.learn.objectives import OBJECTIVES
from bids_synth.learn.objectives.schedule import schedule_of
from bids_synth.learn.split.folds import draw_split
from bids_synth.learn.synthesize import load_synthesizer
from bids_synth.pipeline.score import score_and_report
from bids_synth.pipeline.start import start_of
from bids_synth.prepare.workflow import steps
from bids_synth.recipe.recipe import Recipe, load_recipe, validate_recipe
from bids_synth.recipe.sections.network import NetworkPart
from bids_synth.recipe.sections.objective import ObjectivePart
from bids_synth.recipe.sections.tune import SearchPart
from bids_synth.report.methods.boilerplate import boilerplate
from bids_synth.spatial.itk import write_itk
from bids_synth.spatial.volume import read_mask, read_volume, write_volume

for path in ("own_toys:Mixture", "own_toys:Straight"):
    admit(path)
UNIONS = {"network": NetworkPart, "objective": ObjectivePart}
JUDGE = {"filters": 4, "layers": 2, "tail": 1, "learning_rate": 1e-2}
SMALL: dict[str, dict[str, Any]] = {
    "residual-unet": {"filters": 4, "blocks": [1, 1]},
    "context": {"width": 8, "layers": 1, "voxels": 64, "sample": 1000},
    "unet-2d": {"filters": 4, "depth": 4},
    "pix2pix-unet": {"filters": 4, "downs": 4},
    "resnet-2d": {"filters": 4, "blocks": 1},
    "attention-unet": {"filters": 8, "levels": 2},
    "excitation-unet": {"filters": 4, "levels": 2},
    "own": {"import": "own_toys:Mixture"},
}
"""Network -> the smallest of its kind; an entry for every network that there is."""
PAIRED = {"bce": 1.0, "l1": 2.0, "l2": 3.0, "ssim": 0.9}
JUDGED = {
    "discriminator.filters": 8, "discriminator.gradient_penalty": 5.0,
    "discriminator.initial": "normal", "discriminator.layers": 1,
    "discriminator.learning_rate": 1e-4, "discriminator.norm": "none",
    "discriminator.spectral": True, "discriminator.tail": 2,
}  # fmt: skip
ADVERSARIAL = {"adversarial": 2.0, "gan": "vanilla", "start": 0.9, **PAIRED, **JUDGED}
CHANGED: dict[str, dict[str, Any]] = {
    "network[residual-unet]": {"filters": 8, "blocks": [1, 2], "knots": 5},
    "network[context]": {
        "width": 16, "layers": 2, "dropout": 0.9, "voxels": 32, "sample": 9000,
        "copies": 2,
    },
    "network[unet-2d]": {
        "filters": 8, "depth": 3, "imputation": "average", "output": "sigmoid", "dropout": 0.9,
        "initial": "normal",
    },
    "network[pix2pix-unet]": {
        "filters": 8, "downs": 5, "norm": "group", "output": "tanh", "dropout": 0.9,
        "initial": "normal",
    },
    "network[resnet-2d]": {"filters": 8, "blocks": 2, "output": "tanh", "initial": "normal"},
    "network[attention-unet]": {
        "filters": 16, "levels": 3, "depthwise": False, "output": "linear",
    },
    "network[excitation-unet]": {"filters": 8, "levels": 3, "output": "tanh"},
    "objective[regression]": PAIRED,
    "objective[conditional-gan]": ADVERSARIAL,
    "objective[any-missing-gan]": ADVERSARIAL,
    "objective[cycle-gan]": {
        "adversarial": 2.0, "gan": "vanilla", "cycle": 1.0, "identity": 0.5, "structure": 1.0,
        "pool": 0, **JUDGED,
    },
    "fit": {
        "patch": [24, 16, 16], "batch": 2, "steps": 9, "learning_rate": 1e-2, "beta": 0.5,
        "weight_decay": 0.1, "decay": "linear", "ema": 0.1, "flip": 0.0, "intensity": 0.4,
        "curve": 0.3, "noise": 0.2,
    },
}  # fmt: skip
"""Section -> key -> another value; what it changes is compared after a few steps."""
CHAINED = ("features", "features_from", "emphasis.above", "emphasis.weight")
"""Keys of paired losses that need one another: see `chained`."""


def keys_of(part: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted keys of a section, without the name that chooses it."""
    for name, field in part.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys_of(inner, f"{prefix}{name}.")
        elif name != "name" or part is Recipe:
            yield f"{prefix}{name}"


def every_key() -> Iterator[str]:
    """`section.key` of the recipe, `network[kind].key` and `objective[kind].key`."""
    for key in keys_of(Recipe):
        if key == "tune":
            yield from (f"tune.{name}" for name in SearchPart.model_fields)
        elif key not in UNIONS:
            yield key
    for section, union in UNIONS.items():
        for kind in get_args(get_args(union)[0]):
            name = kind.model_fields["name"].default
            yield f"{section}.name[{name}]"
            yield from (f"{section}[{name}].{key}" for key in keys_of(kind))


def placed(data: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The same data with another value at a dotted key."""
    first, _, rest = key.partition(".")
    inner = placed(dict(data.get(first) or {}), rest, value) if rest else value
    return {**data, first: inner}


def with_value(recipe: Recipe, key: str, value: Any) -> Recipe:
    return validate_recipe(placed(recipe.model_dump(mode="json"), key, value), origin=key)


def toy(network: str = "residual-unet", objective: str = "regression", **own: Any) -> Recipe:
    """A recipe of three modalities (two without pairs) with the smallest network."""
    unpaired = objective == "cycle-gan"
    chosen = ["T1w", "T2w"] if unpaired else ["T1w", "T2w", "PDw"]
    data = load_recipe("impute").limited_to(chosen).model_dump(mode="json", exclude={"tune"})
    planar = network in ("unet-2d", "pix2pix-unet", "resnet-2d")
    imageless = planar or network == "context"
    judge = {} if objective == "regression" else {"adversarial": 1.0, "discriminator": JUDGE}
    pool = {"pool": 1} if unpaired else {}
    data["preparation"] |= {"scaling": "percentiles", "bias_correction": False}
    data["network"] = {"name": network} | SMALL[network]
    data["objective"] = (
        {"name": objective} | judge | pool | ({"ssim": 0} if imageless else {}) | own
    )
    patch = [32, 32, 1] if planar else [16, 16, 16]
    data["fit"] |= {"patch": patch, "steps": 6, "steps_per_epoch": 6, "members": 1, "ema": 0.5}
    return validate_recipe(data, origin="toy")


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> list[Stored]:
    """The arrays of three visits."""
    place = tmp_path_factory.mktemp("walk")
    made = [make_visit(place, p, shape=(20, 20, 20)) for p in "abc"]
    return open_store(made, ("T1w", "T2w", "PDw"), place / "work")


def taught(recipe: Recipe, visits: list[Stored], features: torch.nn.Module | None = None) -> str:
    """Digest of the losses and the averaged weights after the steps of a recipe."""
    torch.manual_seed(1)
    network = build_network(recipe)
    schedule = schedule_of(recipe)
    patches = dataset_of(recipe)(recipe, visits, seed=2, total=schedule.steps * recipe.fit.batch)
    more = {} if features is None else {"features": features}
    taught = OBJECTIVES[recipe.objective.name](
        recipe, network, steps=schedule.steps, seed=3, **more
    )
    fabric, optimizers = Fabric(accelerator="cpu", devices=1), taught.optimizers()
    losses = [
        float(take_step(fabric, taught, optimizers, batch))
        for batch in DataLoader(patches, recipe.fit.batch)
    ]
    assert np.isfinite(losses).all()
    digest = hashlib.sha256(np.array(losses).tobytes())
    for name, tensor in taught.average.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


USUAL: dict[str, str] = {}


def usual(recipe: Recipe, visits: list[Stored]) -> str:
    """As `taught`, once for each recipe."""
    if recipe.digest() not in USUAL:
        USUAL[recipe.digest()] = taught(recipe, visits)
        assert taught(recipe, visits) == USUAL[recipe.digest()], "twice the same is the same"
    return USUAL[recipe.digest()]


TAUGHT = [
    f"{section}.{key}"
    for section, keys in CHANGED.items()
    for key in keys
    if (section, key) != ("network[residual-unet]", "knots")
]


def toy_for(key: str) -> tuple[Recipe, str]:
    """A recipe in which a key of `every_key` matters, and its dotted place."""
    section, _, rest = key.partition("].") if "[" in key else ("", "", key)
    where, _, kind = section.partition("[")
    if where == "network":
        recipe = toy(network=kind)
        if rest == "dropout" and kind != "context":  # They drop values in deep levels alone.
            own = {"unet-2d": {"network.depth": 5}, "pix2pix-unet": {"network.downs": 6}}[kind]
            recipe = recipe.with_values({"fit.patch": [64, 64, 1], **own})
        return recipe, f"network.{rest}"
    if where == "objective":
        return toy(objective=kind), f"objective.{rest}"
    return toy(), rest


@pytest.mark.slow
@pytest.mark.parametrize("key", TAUGHT)
def test_a_key_changes_what_is_learned(key: str, visits: list[Stored]) -> None:
    recipe, where = toy_for(key)
    section, _, name = key.partition("].") if "[" in key else key.partition(".")
    value = CHANGED[f"{section}]" if "[" in key else section][name]
    other = with_value(recipe, where, value)
    assert other != recipe, "the other value is the usual one"
    assert taught(other, visits) != usual(recipe, visits)


@pytest.mark.slow
@pytest.mark.parametrize(
    "key", [k for k in TAUGHT if k.startswith("fit.") and k not in ("fit.curve", "fit.noise")]
)
def test_a_key_of_the_fit_matters_without_pairs_too(key: str, visits: list[Stored]) -> None:
    recipe = toy(objective="cycle-gan")
    other = with_value(recipe, key, CHANGED["fit"][key.removeprefix("fit.")])
    assert taught(other, visits) != usual(recipe, visits)


class Doubled(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [image, 2 * image]


def chained(key: str, kind: str, visits: list[Stored], folder: Path) -> tuple[object, object]:
    """What is learned with two values of a key that needs another key beside it."""
    if key.startswith("emphasis"):
        plain = {"above": 0.3, "weight": 3.0}
        other = {**plain, **({"above": 0.6} if key.endswith("above") else {"weight": 9.0})}
        one, two = (toy(objective=kind, emphasis=e) for e in (plain, other))
        return usual(one, visits), taught(two, visits)
    if key == "features":
        own = {"features_from": "thresholds"}
        one, two = (toy(objective=kind, features=w, **own) for w in (0.5, 2.0))
        return taught(one, visits, Doubled()), taught(two, visits, Doubled())
    seen = []
    for number in (1, 2):
        path = vgg_file(folder / f"{number}.safetensors", number)
        recipe = toy(objective=kind, features=1.0, features_from=str(path))
        network = features_of(recipe, visits, folder / "kept", key="k", seed=1)
        seen.append(taught(recipe, visits, network))
    return seen[0], seen[1]


CHAINS = [
    f"objective[{kind}].{key}"
    for kind in ("regression", "conditional-gan", "any-missing-gan")
    for key in CHAINED
]


@pytest.mark.slow
@pytest.mark.parametrize("key", CHAINS)
def test_a_key_that_needs_another_changes_what_is_learned(
    key: str, visits: list[Stored], tmp_path: Path
) -> None:
    kind, _, name = key.removeprefix("objective[").partition("].")
    one, two = chained(name, kind, visits, tmp_path)
    assert one != two


# From here on what a key changes is no weight.


def knots(_: Path) -> tuple[object, object]:
    """The curve at which a network without pairs begins."""
    plain = toy(objective="cycle-gan")
    bent = with_value(plain, "network.knots", 5)
    return tuple(sorted(build_network(r).state_dict()) for r in (plain, bent))  # type: ignore[return-value]


def network_class(_: Path) -> tuple[object, object]:
    """The class that is built of another package."""
    other = with_value(toy(network="own"), "network.import", "own_toys:Straight")
    return tuple(type(build_network(r)).__name__ for r in (toy(network="own"), other))  # type: ignore[return-value]


def wide_network(_: Path) -> tuple[object, object]:
    """What its class is called with."""
    other = with_value(toy(network="own"), "network.parameters", {"width": 7})
    return tuple(build_network(r).first.out_channels for r in (toy(network="own"), other))  # type: ignore[return-value,union-attr]


def scenarios_drawn(key: str, value: float) -> Callable[[Path], tuple[object, object]]:
    def show(folder: Path) -> tuple[object, object]:
        made = [make_visit(folder, p, shape=(20, 20, 20)) for p in "ab"]
        stored = open_store(made, ("T1w", "T2w", "PDw"), folder / "work")
        recipes = toy(), with_value(toy(), key, value)
        draws = (Patches(r, stored, seed=2, total=60) for r in recipes)
        return tuple([p.draw(n).scenario.sources for n in range(60)] for p in draws)  # type: ignore[return-value]

    return show


def fitted(folder: Path, recipe: Recipe) -> Model:
    people = [make_visit(folder / "prepared", p, shape=(20, 20, 20)) for p in PEOPLE]
    return fit_model(
        recipe, people, toy_split(training="abc"), minus_error, folder=folder / "models/toy",
        work=folder / "work", seed=5, device="cpu", quiet=True,
    )  # fmt: skip


def model_of(key: str, value: Any, look: Callable[[Model], object]) -> Callable[[Path], Any]:
    """What is in the model folder of a fit of four steps."""

    def show(folder: Path) -> tuple[object, object]:
        recipe = with_value(toy_recipe(steps=4, steps_per_epoch=4), "fit.preview", value=False)
        one, two = recipe, with_value(recipe, key, value)
        return look(fitted(folder / "one", one)), look(fitted(folder / "two", two))

    return show


def names_in(model: Model) -> list[str]:
    return sorted(p.relative_to(model.folder).as_posix() for p in model.folder.rglob("*"))


def split_of(key: str, value: Any) -> Callable[[Path], tuple[object, object]]:
    """The parts into which 24 participants of two sites, sexes and many ages fall."""
    people = [f"{n:02}" for n in range(24)]
    traits = {p: {"site": "ab"[n % 2], "sex": "mf"[n // 12]} for n, p in enumerate(people)}

    def show(_: Path) -> tuple[object, object]:
        recipes = toy(), with_value(toy(), key, value)
        return tuple(  # type: ignore[return-value]
            draw_split(
                people, test=r.fit.test, validation=r.fit.validation, folds=1, seed=3,
                strata=traits, by=r.fit.stratify,
            )
            for r in recipes
        )  # fmt: skip

    return show


def extra_maps(key: str, value: Any) -> Callable[[Path], tuple[object, object]]:
    """What a network is shown beside the sources of a visit."""

    def show(folder: Path) -> tuple[object, object]:
        rng = np.random.default_rng(5)
        spans = {"cbf": (20, 80), "cbv": (2, 6), "T2map": (0.07, 0.1), "T2starmap": (0.04, 0.06)}
        spans["cmro2"] = (50, 200)
        seen = []
        for number, own in enumerate(({}, {key: value})):
            data = load_recipe("cmro2").model_dump(mode="json", exclude={"tune"})
            data["extras"] = {"closed_form": key == "oef_smoothing", **own}
            recipe = validate_recipe(data, origin=key)
            people = []
            for person in "abc":
                images = {m: rng.uniform(*span, (16, 16, 16)) for m, span in spans.items()}
                rng = np.random.default_rng(5)
                visit = make_visit(
                    folder / str(number), person, modalities=tuple(images), shape=(16, 16, 16),
                    images=images,
                )  # fmt: skip
                traits = {"site": "x", "Hct": "42", "O2sat": "97"}
                people.append(replace(visit, visit=replace(visit.visit, traits=traits)))
            extras = auxiliary_inputs_of(recipe, people)
            mask = read_mask(people[0].mask).array
            maps = extras.maps(people[0], mask) if extras else {}
            seen.append({name: float(np.sum(array)) for name, array in maps.items()})
        return seen[0], seen[1]

    return show


@cache
def phantom(folder: Path) -> Visit:
    """A stripped T1w, a moved T2w and a PET of it, of 6 mm."""
    moved = motion((4.0, -3.0, 2.0), (3.0, -2.0, 4.0))
    scans = {
        "T1w": make_scan("T1w", spacing=6.0, seed=1),
        "T2w": make_scan("T2w", spacing=6.0, moved=moved, seed=2),
    }
    scans["pet"] = scans["T1w"].with_array(np.abs(scans["T1w"].array) / 100)
    paths = {m: write_volume(v, folder / f"{m}.nii.gz") for m, v in scans.items()}
    return Visit("01", None, {m: Scan(m, p) for m, p in paths.items()})


def resampled(key: str, value: Any, modality: str = "T1w") -> Callable[[Path], tuple[Any, Any]]:
    """A scan as the network sees it: the values of the image by its scale."""

    def show(folder: Path) -> tuple[object, object]:
        visit = phantom(folder)
        mask = write_volume(truth_mask(6.0), folder / "mask.nii.gz")
        template, seen = write_itk(np.eye(4), folder / "template.txt"), []
        for recipe in (toy(), with_value(toy(), f"preparation.{key}", value)):
            image, scale, _ = steps.resample_scan(
                *(visit.scans[modality].path, modality, mask, None, recipe.preparation, folder),
                template=template,
            )
            seen.append((read_volume(image).array.tobytes(), scale.read_text()))
        return seen[0], seen[1]

    return show


def placed_mask(key: str, value: float) -> Callable[[Path], tuple[object, object]]:
    def show(folder: Path) -> tuple[object, object]:
        mask = write_volume(truth_mask(6.0), folder / "native.nii.gz")
        recipes = toy(), with_value(toy(), f"grid.{key}", value)
        return tuple(read_mask(steps.place_mask(mask, r.grid, folder)).grid.shape for r in recipes)  # type: ignore[return-value]

    return show


def registered(folder: Path) -> tuple[object, object]:
    visit, mask = phantom(folder), write_volume(truth_mask(6.0), folder / "mask.nii.gz")
    pair = [(m, visit.scans[m].path) for m in ("T1w", "T2w")]
    seen = []
    for spacing in (4.0, 3.0):
        part = with_value(toy(), "preparation.registration_spacing", spacing).preparation
        seen.append(steps.register_scan(*pair, mask, part, seed=1, folder=folder).read_text())
    return seen[0], seen[1]


def region(folder: Path) -> tuple[object, object]:
    head = write_volume(make_scan("T1w", spacing=6.0, stripped=False), folder / "T1w.nii.gz")
    brain = write_volume(truth_mask(6.0), folder / "brain.nii.gz")
    volumes = []
    for part in (toy().preparation, with_value(toy(), "preparation.mask", "head").preparation):
        mask, *_ = steps.find_region(
            head, "T1w", part, option="auto", mask_file=brain, seed=1, folder=folder
        )
        volumes.append(int(read_mask(mask).array.sum()))
    return volumes[0], volumes[1]


def reference(folder: Path) -> tuple[object, object]:
    visit = phantom(folder)
    other = with_value(toy(), "preparation.reference", ["T2w"])
    return visit.reference(toy().reference), visit.reference(other.reference)


def scored(key: str, value: Any, name: str = "metrics.tsv") -> Callable[[Path], tuple[Any, Any]]:
    """A table of the scores of one fitted model under two recipes."""

    def show(folder: Path) -> tuple[object, object]:
        own = str(vgg_file(folder / "w.safetensors", 1)) if key == "features_from" else value
        other = scores_under(folder / "other", {f"evaluation.{key}": own})
        if not SCORES:
            SCORES.update(scores_under(folder / "usual", {}))
        return SCORES.get(name, ""), other.get(name, "")

    return show


SCORES: dict[str, str] = {}
"""The tables under the recipe as it is, once for all."""


def scores_under(folder: Path, changes: Mapping[str, Any]) -> dict[str, str]:
    """Every table of scores, by its name, of the same model under a changed recipe."""
    recipe = with_value(toy_recipe(steps=1, steps_per_epoch=1), "evaluation.bootstrap", 100)
    model = fitted(folder, with_value(recipe, "fit.preview", value=False))
    people = [make_visit(folder / "prepared", p, shape=(20, 20, 20)) for p in "xyz"]
    settings = Settings(
        dataset=folder, output=folder / "out", level="group", work=folder, device="cpu"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bids_synth.pipeline.visit.withheld.prepare_reduced", prepare_toys)
        score_and_report(replace(model, recipe=recipe.with_values(changes)), people, settings)
    return {p.name: p.read_text("utf-8") for p in model.folder.glob("*.tsv")}


class Ramp(torch.nn.Module):
    """Answers with the place inside the window, so that it shows where windows lie."""

    def forward(self, images: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        ramp = torch.linspace(0, 1, images.shape[2])[:, None, None]
        return ramp.expand(len(images), 3, *images.shape[2:])


def blended(folder: Path) -> tuple[object, object]:
    model = fitted(folder, toy_recipe(steps=1, steps_per_epoch=1))
    person = make_visit(folder / "prepared", "x", shape=(34, 34, 34))
    shown = []
    for recipe in (model.recipe, with_value(model.recipe, "synthesis.overlap", 0.0)):
        one = load_synthesizer(replace(model, recipe=recipe), "cpu")
        made = replace(one, networks=(Ramp(),)).synthesize(person, "T2w")
        assert np.isfinite(made.image.array).all()
        shown.append(made.image.array.tobytes())
    return shown[0], shown[1]


def searched(search: Mapping[str, Any], other: Mapping[str, Any]) -> Callable[[Path], Any]:
    """Values that a search tries."""

    def show(_: Path) -> tuple[object, object]:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        seen = []
        for space in (search, other):
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
            part = SearchPart.model_validate(space)
            seen.append([_suggest(study.ask(), "key", part) for _ in range(8)])
        return seen[0], seen[1]

    return show


def methods(key: str, value: str) -> Callable[[Path], tuple[object, object]]:
    return lambda _: tuple(  # type: ignore[return-value]
        boilerplate(r, skull_strip="auto", spaces=[])
        for r in (toy(), with_value(toy(), key, value))
    )


def attribute(key: str, value: Any, look: Callable[[Recipe], object]) -> Callable[[Path], Any]:
    return lambda _: (look(toy()), look(with_value(toy(), key, value)))


def format_version(_: Path) -> tuple[object, object]:
    try:
        return None, with_value(toy(), "version", 2)
    except RecipeError as error:
        return None, str(error)


def begun(folder: Path) -> tuple[object, object]:
    """The model whose weights a fit begins from."""
    settings = Settings(dataset=folder, output=folder / "out", level="group", work=folder)
    recipes = (load_recipe("impute", {"fit.start": s}) for s in ("linear", "any-contrast"))
    return tuple(start_of(recipe, settings) for recipe in recipes)  # type: ignore[return-value]


RANGE = {"low": 1.0, "high": 9.0}
SHOWN: dict[str, Callable[[Path], tuple[object, object]]] = {
    "version": format_version,
    "name": methods("name", "other"),
    "task": methods("task", "another task"),
    "source": methods("source", "another paper"),
    "modalities": attribute(
        "modalities",
        {"T1w": "source", "T2w": "target"},
        network_inputs := (
            lambda r: sorted((n, tuple(t.shape)) for n, t in build_network(r).state_dict().items())
        ),
    ),
    "minimum": scenarios_drawn("minimum", 2),
    "network[residual-unet].knots": knots,
    "network[own].import_": network_class,
    "network[own].parameters": wide_network,
    "missing.ramp": scenarios_drawn("missing.ramp", 1.0),
    "missing.several": scenarios_drawn("missing.several", 0.0),
    "extras.mean": extra_maps("mean", value=True),
    "extras.scalars": extra_maps("scalars", {"site": {"x": 1.0}}),
    "extras.closed_form": extra_maps("closed_form", value=True),
    "extras.oef_smoothing": extra_maps("oef_smoothing", 20.0),
    "fit.start": begun,
    "fit.steps_per_epoch": model_of("fit.steps_per_epoch", 2, lambda m: len(curve(m.folder))),
    "fit.members": model_of("fit.members", 2, lambda m: len(m.card.weights)),
    "fit.preview": model_of("fit.preview", True, names_in),
    "fit.validation": split_of("fit.validation", 0.4),
    "fit.test": split_of("fit.test", 0.4),
    "fit.stratify": split_of("fit.stratify", ["site"]),
    "grid.spacing": placed_mask("spacing", 4.0),
    "grid.margin": placed_mask("margin", 30.0),
    "preparation.mask": region,
    "preparation.bias_correction": resampled("bias_correction", value=True),
    "preparation.registration_spacing": registered,
    "preparation.reference": reference,
    "preparation.suvr": resampled("suvr", "mask", modality="pet"),
    "preparation.scaling": resampled("scaling", "white-matter"),
    "preparation.percentiles": resampled("percentiles", [5.0, 95.0]),
    "preparation.log": resampled("log", ["pet"], modality="pet"),
    "synthesis.overlap": blended,
    "evaluation.protocols": scored("protocols", ["slices"]),
    "evaluation.scenarios": scored("scenarios", "all"),
    "evaluation.ablate": scored("ablate", [["PDw"]], "ablation.tsv"),
    "evaluation.features_from": scored("features_from", None),
    "evaluation.bootstrap": scored("bootstrap", 150, "summary.tsv"),
    "tune.low": searched(RANGE, RANGE | {"low": 8.0}),
    "tune.high": searched(RANGE, RANGE | {"high": 2.0}),
    "tune.log": searched(RANGE, RANGE | {"log": True}),
    "tune.step": searched(RANGE, RANGE | {"step": 4.0}),
    "tune.choices": searched(RANGE, {"choices": ["a", "b"]}),
}
"""Key -> what is seen with its usual value and with another."""
NAMES = {
    **{f"network.name[{n}]": lambda v, n=n: taught(toy(network=n), v) for n in SMALL},
    **{f"objective.name[{n}]": lambda v, n=n: taught(toy(objective=n), v) for n in OBJECTIVES},
}


def test_every_key_is_shown_to_do_something() -> None:
    shown = {*SHOWN, *TAUGHT, *CHAINS, *NAMES}
    missing = [key for key in every_key() if key not in shown]
    assert not missing, f"add to SHOWN or CHANGED a demonstration of what these change: {missing}"
    assert not shown - set(every_key()), "these are no keys any more"


@pytest.mark.slow
@pytest.mark.parametrize("key", SHOWN)
def test_a_key_changes_what_is_seen(key: str, tmp_path: Path) -> None:
    one, two = SHOWN[key](tmp_path)
    assert one != two


def test_networks_and_objectives_are_different_ones(visits: list[Stored]) -> None:
    seen = {name: show(visits) for name, show in NAMES.items()}
    usual_one = ("network.name[residual-unet]", "objective.name[regression]")
    assert seen[usual_one[0]] == seen[usual_one[1]]
    assert len(set(seen.values())) == len(seen) - 1


def test_every_key_is_read_outside_of_the_recipe() -> None:
    """A name that is also another thing's may hide one; the demonstrations above do not."""
    package = Path(bids_synth.__file__).parent
    paths = [p for p in package.rglob("*.py") if p.relative_to(package).parts[0] != "recipe"]
    words = set()
    for node in (n for p in paths for n in ast.walk(ast.parse(p.read_text(encoding="utf-8")))):
        if isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.arg):
            words.add(node.arg)
    keys = {key.split(".")[-1].split("[")[0] for key in every_key()}
    unread = keys - words - {"version"}
    assert not unread, f"keys that nothing reads: {sorted(unread)}"
