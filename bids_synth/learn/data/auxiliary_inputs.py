"""Extras: maps that a network is shown beside the sources of a visit."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.core.coverage import shared_mask, within
from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import DECADES, Scale
from bids_synth.core.visit import Prepared, Visit
from bids_synth.learn.data.array_cache import scaled_image
from bids_synth.learn.data.mean_image import Population, empty_population
from bids_synth.physics.formulas import NEEDED, can_compute
from bids_synth.physics.visit_maps import FASTEST, compute
from bids_synth.recipe.recipe import Recipe

GROUPS = 5
"""Training participants are shown the mean of the other groups, never their own image."""
Maps = dict[str, npt.NDArray[np.floating[Any]]]


def auxiliary_names(recipe: Recipe, sources: Collection[str]) -> list[str]:
    """Names of the maps that can be shown with these sources."""
    return [
        name
        for name in recipe.extras.names(recipe.targets)
        if not name.startswith("closed-") or can_compute(name[7:], sources)
    ]


def known_traits(recipe: Recipe, visit: Visit) -> list[str]:
    """Traits of a participant that decide the maps, empty where they are not known."""
    names = [*recipe.extras.scalars, *(("Hct", "O2sat") if recipe.extras.closed_form else ())]
    return [visit.traits.get(name, "") for name in names]


@dataclass(frozen=True, eq=False)
class AuxiliaryInputs:
    """All that the maps of any visit are made of."""

    recipe: Recipe
    population: Population
    """Of all training participants."""
    without: Mapping[str, Population] = field(default_factory=dict)
    """Training participant -> population without its group."""

    def maps(self, prepared: Prepared, mask: npt.NDArray[Any]) -> Maps:
        """The maps of one visit by name, scaled as its images are, (I, J, K) each.

        Maps of a closed form are there only where the visit has all that they need.
        """
        population = self.without.get(prepared.visit.participant, self.population)
        result: Maps = {}
        for name in auxiliary_names(self.recipe, prepared.images):
            kind, _, what = name.partition("-")
            if kind == "mean":
                result[name] = population.on(prepared, what) * mask
            elif kind == "scalar":
                value = self.recipe.extras.scalars[what].get(
                    prepared.visit.traits.get(what, ""), 0.0
                )
                result[name] = np.broadcast_to(np.float32(value), mask.shape)
            else:
                smoothing = self.recipe.extras.oef_smoothing
                values = compute(what, prepared, mask, smoothing=smoothing)
                known = within(prepared, NEEDED[what], mask)
                result[name] = closed_scale(self.recipe, what).apply(values) * known
        return result

    def digest(self, prepared: Prepared) -> str:
        """Changes where the maps of this visit do."""
        population = self.without.get(prepared.visit.participant, self.population)
        digest = hashlib.sha256(self.recipe.extras.model_dump_json().encode())
        digest.update(str(self.recipe.preparation.log).encode())
        digest.update(str(known_traits(self.recipe, prepared.visit)).encode())
        for name in sorted(population.images) if self.recipe.extras.mean else ():
            digest.update(name.encode() + population.images[name].tobytes())
        return digest.hexdigest()


def closed_scale(recipe: Recipe, quantity: str) -> Scale:
    """How a map of the closed form is scaled: as the target that it stands for."""
    scale = recipe.shared_scale(quantity) if quantity in MODALITIES else None
    if scale is not None:
        return scale
    if set(NEEDED[quantity]) & set(recipe.preparation.log):
        return Scale(float(np.log(FASTEST / DECADES)), float(np.log(DECADES)), log=True)
    return Scale(0.0, FASTEST)


def auxiliary_inputs_of(recipe: Recipe, training: Sequence[Prepared]) -> AuxiliaryInputs | None:
    """What a fold has beside its sources, from its training participants; None where nothing."""
    if not recipe.inputs[len(recipe.sources) :]:
        return None
    people = sorted({p.visit.participant for p in training})
    group = {person: n % min(GROUPS, len(people)) for n, person in enumerate(people)}
    total = empty_population()
    parts = [empty_population() for _ in range(min(GROUPS, len(people)))]
    for prepared in training if recipe.extras.mean else ():
        mask = shared_mask(prepared)
        for target in (t for t in recipe.targets if t in prepared.images):
            image = scaled_image(prepared, target, mask)
            for sums in (total, parts[group[prepared.visit.participant]]):
                sums.add(prepared, target, image, mask)
    rest = [_difference(total, part) for part in parts]
    without = {person: rest[group[person]] for person in people if len(parts) > 1}
    return AuxiliaryInputs(recipe, total, without)


def _difference(total: Population, part: Population) -> Population:
    images = {m: a - part.images.get(m, 0) for m, a in total.images.items()}
    weights = {m: a - part.weights.get(m, 0) for m, a in total.weights.items()}
    return Population(total.grid, images, weights)
