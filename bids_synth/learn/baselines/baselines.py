"""Baselines: the trivial answers that a model must beat."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from bids_synth.core.coverage import parts_of, shared_mask
from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import Scale
from bids_synth.core.tissue.levels import TissueLevels, levels_of
from bids_synth.core.visit import Prepared
from bids_synth.errors import ModelError, UsageError, VisitError
from bids_synth.learn.baselines.linear import (
    Gramian,
    add_grams,
    counted,
    gram_of,
    gramian_of_means,
)
from bids_synth.learn.baselines.tissue_curve import NAME as TISSUE_CURVE
from bids_synth.learn.baselines.tissue_curve import along_curves, typical_levels
from bids_synth.learn.data.array_cache import scaled_image
from bids_synth.learn.data.auxiliary_inputs import (
    AuxiliaryInputs,
    auxiliary_inputs_of,
    auxiliary_names,
)
from bids_synth.learn.data.mean_image import Population, empty_population
from bids_synth.learn.fit.finite import require_finite
from bids_synth.learn.networks.blocks.curve import matching_curve
from bids_synth.physics.formulas import can_compute
from bids_synth.physics.visit_maps import compute
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.tasks import task_of
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume, hold_to_bounds, json_text, write_text

NAMES = ("copy", "linear", "mean")
"""Copy of the best source, linear voxel regression, population mean."""
CLOSED_FORM = "closed-form"
"""Baseline by physics alone, for targets that have one where the sources for it are given."""
CURVE = "curve"
"""Baseline of a model without pairs that begins at a curve through quantiles."""


@dataclass(frozen=True, eq=False)
class Baselines:
    """What the baselines need, from the training participants alone."""

    distances: Mapping[str, Mapping[str, float]]
    """Target -> source -> mean absolute difference of the scaled images inside the mask."""
    gramian: Gramian
    """For the linear baseline from any subset of sources."""
    population: Population
    """For the mean image."""
    recipe: Recipe | None = None
    """Of the model: says which maps the linear answer reads and how a closed form is smoothed."""
    quantiles: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    """Modality -> quantiles of its scaled values, where the model begins at a curve."""
    levels: Mapping[str, TissueLevels] = field(default_factory=dict)
    """Modality -> typical scaled levels of its tissues, where they were looked for."""

    def names(self, target: str, sources: Sequence[str]) -> tuple[str, ...]:
        """The baselines of a target that can be made of these sources."""
        known = len(sources) == 1 and {sources[0], target} <= self.quantiles.keys()
        curve = (CURVE,) if known and self._slope(sources[0], target) else ()
        known_names = [
            name
            for name in names_for(target, sources)
            if name != "mean" or target in self.population.images
        ]
        tissue = (TISSUE_CURVE,) if {*sources, target} <= self.levels.keys() and sources else ()
        return (*known_names, *tissue, *curve)

    def estimate(
        self, name: str, prepared: Prepared, target: str, *, sources: Sequence[str], scale: Scale
    ) -> Volume:
        """The target of a visit by baseline `name`, in its unit by `scale`, on `prepared.grid`.

        Raises UsageError for another name and VisitError where `sources` is empty.
        """
        allowed = self.names(target, sources)
        if name not in allowed:
            message = f"unknown baseline {name!r}; allowed: {', '.join(allowed)}"
            raise UsageError(message)
        if not sources and name != "mean":
            message = f"{prepared.label}: has no source for the {name} baseline of {target}"
            raise VisitError(message)
        mask = prepared.mask_image.array
        if name == CLOSED_FORM:
            smoothing = self.recipe.extras.oef_smoothing if self.recipe else 0.0
            values = compute(target, prepared, mask, smoothing=smoothing)
        else:
            values = scale.invert(self._scaled(name, prepared, target, sources, mask))
        background = MODALITIES[target].background
        image = np.where(mask > 0, values, np.float32(background))
        volume = Volume(image.astype(np.float32), prepared.grid, MODALITIES[target].unit)
        return hold_to_bounds(volume)[0]

    def best_source(self, target: str, sources: Sequence[str]) -> str:
        """The source nearest to the target among the training participants."""
        known = self.distances.get(target, {})
        return min(sources, key=lambda s: known.get(s, float("inf")))

    def save(self, folder: Path) -> None:
        """Write `baselines.json` and `weights/baselines.safetensors`."""
        grid = self.population.grid
        data = {
            "distances": {t: dict(d) for t, d in self.distances.items()},
            "modalities": list(self.gramian.modalities),
            "present": [list(p) for p in self.gramian.sums],
            "levels": {m: asdict(levels) for m, levels in self.levels.items()},
            "knots": max((len(q) for q in self.quantiles.values()), default=0),
            "grid": {"shape": list(grid.shape), "affine": grid.affine.tolist()},
        }
        tensors: dict[str, npt.NDArray[Any]] = {}
        tensors |= {f"gram.{n}": g for n, g in enumerate(self.gramian.sums.values())}
        tensors |= {f"image.{m}": a for m, a in self.population.images.items()}
        tensors |= {f"weight.{m}": a for m, a in self.population.weights.items()}
        tensors |= {f"quantiles.{m}": np.asarray(q) for m, q in self.quantiles.items()}
        require_finite(tensors, "the baselines")
        (folder / "weights").mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / "weights" / "baselines.safetensors")
        write_text(json_text(data) + "\n", folder / "baselines.json")

    def _scaled(
        self,
        name: str,
        prepared: Prepared,
        target: str,
        sources: Sequence[str],
        mask: npt.NDArray[np.uint8],
    ) -> npt.NDArray[np.float32]:
        if name == "mean":
            if target not in self.population.images:
                message = f"{prepared.label}: no training participant has a {target} to average"
                raise VisitError(message)
            return self.population.on(prepared, target)
        result = np.zeros(prepared.grid.shape, dtype=np.float32)
        for part in parts_of(prepared, sources, mask, least=1):
            answer = self._from(name, prepared, target, part.sources, mask)
            result += part.weight * answer
        return result

    def _from(
        self,
        name: str,
        prepared: Prepared,
        target: str,
        sources: Sequence[str],
        mask: npt.NDArray[np.uint8],
    ) -> npt.NDArray[np.float32]:
        """The scaled answer where just these sources are there."""
        if name == "copy":
            return scaled_image(prepared, self.best_source(target, sources), mask)
        if name == TISSUE_CURVE:
            images = {source: scaled_image(prepared, source, mask) for source in sources}
            return along_curves(images, prepared, self.levels[target])
        if name == CURVE:
            return self._bent(scaled_image(prepared, sources[0], mask), sources[0], target)
        inputs = self._inputs(prepared, sources, mask)
        weights = self.gramian.answer(list(inputs), target)
        result = np.full(prepared.grid.shape, weights[-1], dtype=np.float32)
        for source, values in inputs.items():
            result += np.float32(weights[self.gramian.modalities.index(source)]) * values
        return result

    def _inputs(
        self, prepared: Prepared, sources: Sequence[str], mask: npt.NDArray[np.uint8]
    ) -> dict[str, npt.NDArray[Any]]:
        """Everything that the network is shown with these sources, and the line has learned."""
        images: dict[str, npt.NDArray[Any]]
        images = {source: scaled_image(prepared, source, mask) for source in sources}
        if self.recipe is None or self.recipe.unpaired:
            return images
        names = [n for n in auxiliary_names(self.recipe, sources) if n in self.gramian.modalities]
        maps = AuxiliaryInputs(self.recipe, self.population).maps(prepared, mask) if names else {}
        return images | {name: maps[name] for name in names}

    def _slope(self, source: str, target: str) -> float:
        return float(self.gramian.solve([source], target)[self.gramian.modalities.index(source)])

    def _bent(
        self, image: npt.NDArray[np.float32], source: str, target: str
    ) -> npt.NDArray[np.float32]:
        """The image with the quantiles of the target, in the order that the mean images say."""
        one, other = self.quantiles[source], self.quantiles[target]
        curve = matching_curve(one, other, falling=self._slope(source, target) < 0)
        values, results = curve.numpy()
        return np.asarray(np.interp(image, values, results), np.float32)


def names_for(target: str, sources: Collection[str]) -> tuple[str, ...]:
    """The baselines of a target that any model has for these sources.

    >>> names_for("T2w", ["T1w"])
    ('copy', 'linear', 'mean')
    >>> names_for("cmro2", ["cbf", "cbv", "T2map", "T2starmap"])[-1]
    'closed-form'
    """
    return (*NAMES, CLOSED_FORM) if can_compute(target, sources) else NAMES


def fit_baselines(recipe: Recipe, training: Sequence[Prepared]) -> Baselines:
    """All baselines in one pass over the training visits; one visit in memory.

    A recipe without pairs has baselines without pairs: its linear one learns from mean images.
    """
    names = (*recipe.modalities, *recipe.inputs[len(recipe.sources) :])
    extras = None if recipe.unpaired else auxiliary_inputs_of(recipe, training)
    grams, population = [], empty_population()
    quantiles: dict[str, list[npt.NDArray[Any]]] = {}
    errors: dict[str, dict[str, list[float]]] = {t: {} for t in recipe.targets}
    for prepared in sorted(training, key=lambda p: p.label):
        mask = shared_mask(prepared)
        there = [m for m in recipe.modalities if m in prepared.images]
        images = {m: scaled_image(prepared, m, mask) for m in there}
        if recipe.unpaired:
            _add_quantiles(quantiles, recipe, images, mask)
        else:
            seen = images | dict(extras.maps(prepared, mask) if extras else {})
            grams.append((tuple(seen), gram_of(names, seen, counted(recipe, images, mask))))
        for target in (t for t in recipe.targets if t in images):
            population.add(prepared, target, images[target], mask)
            task = task_of(target, recipe.sources, images)
            for source in () if recipe.unpaired else task.sources:
                error = np.abs(images[source] - images[target])[mask > 0].mean()
                errors[target].setdefault(source, []).append(float(error))
    distances = {t: {s: float(np.mean(e)) for s, e in d.items()} for t, d in errors.items()}
    if recipe.unpaired:
        gramian = gramian_of_means(names, population)
        mean = {m: np.asarray(np.mean(q, axis=0), np.float64) for m, q in quantiles.items()}
        return Baselines(distances, gramian, population, recipe, mean)
    gramian = add_grams(names, grams)
    return Baselines(distances, gramian, population, recipe, levels=typical_levels(training))


def _add_quantiles(
    quantiles: dict[str, list[npt.NDArray[Any]]],
    recipe: Recipe,
    images: Mapping[str, npt.NDArray[np.float32]],
    mask: npt.NDArray[Any],
) -> None:
    """The quantiles of a visit, for a recipe whose networks begin at a curve through them."""
    knots = getattr(recipe.network, "knots", 0)
    for modality, image in images.items() if knots else ():
        own = np.quantile(image[mask > 0], np.linspace(0, 1, knots))
        quantiles.setdefault(modality, []).append(own)


def load_baselines(folder: Path, recipe: Recipe | None = None) -> Baselines:
    """Read what `Baselines.save` wrote; ModelError where it is absent or damaged.

    `recipe` is that of the model: with it every baseline has all that the model's start has.
    """
    path = folder / "baselines.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        tensors = load_file(folder / "weights" / "baselines.safetensors")
        return _from_files(data, tensors, recipe)
    except (OSError, LookupError, TypeError, ValueError, SafetensorError) as error:
        message = f"{path}: the model's baselines cannot be read ({error}); fit the model again"
        raise ModelError(message) from error


def _from_files(
    data: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]], recipe: Recipe | None
) -> Baselines:
    names = tuple(str(m) for m in data["modalities"])
    sums = {tuple(p): tensors[f"gram.{n}"] for n, p in enumerate(data["present"])}
    i, j, k = data["grid"]["shape"]
    grid = Grid((int(i), int(j), int(k)), np.asarray(data["grid"]["affine"]))
    modalities = [m for m in names if f"image.{m}" in tensors]
    population = Population(
        grid,
        {m: tensors[f"image.{m}"] for m in modalities},
        {m: tensors[f"weight.{m}"] for m in modalities},
    )
    quantiles = {m: tensors[f"quantiles.{m}"] for m in names if f"quantiles.{m}" in tensors}
    levels = {str(m): levels_of(one) for m, one in data.get("levels", {}).items()}
    gramian = Gramian(names, sums)
    return Baselines(data["distances"], gramian, population, recipe, quantiles, levels)
