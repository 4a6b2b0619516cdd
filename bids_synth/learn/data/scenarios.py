"""Scenarios: which images of a visit a network is shown and which it is scored on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from bids_synth.recipe.recipe import Recipe


@dataclass(frozen=True)
class Scenario:
    """One way to withhold images of a visit."""

    sources: tuple[str, ...]
    """Modalities that the network is given, in the recipe's order."""
    scored: tuple[str, ...]
    """Real images that the network is not given and must make."""


def draw_scenario(
    recipe: Recipe, present: Collection[str], progress: float, rng: np.random.Generator
) -> Scenario:
    """Withhold at random: one image at first, several more and more often.

    `progress` is the fraction of the schedule that is over. Where a pure target is scored
    anyway, no source need be withheld. At least `recipe.minimum` sources are always left.
    """
    sources = [m for m in recipe.sources if m in present]
    targets = [m for m in recipe.targets if m in present and m not in sources]
    least = 0 if targets else 1
    most = len(sources) - recipe.minimum
    several = rng.random() < chance_of_several(recipe, progress)
    count = int(rng.integers(least + 1, most + 1)) if several and most > least else least
    withheld = _withhold(recipe, sources, count, rng)
    left = tuple(m for m in sources if m not in withheld)
    tasks = recipe.tasks(left)
    return Scenario(left, tuple(t.target for t in tasks if t.target in present and not t.real))


def chance_of_several(recipe: Recipe, progress: float) -> float:
    """Rises linearly to `missing.several` over the first `missing.ramp` of the schedule.

    >>> from bids_synth.recipe.recipe import load_recipe
    >>> recipe = load_recipe("impute")
    >>> [chance_of_several(recipe, p) for p in (0.0, 0.15, 0.3, 1.0)]
    [0.0, 0.25, 0.5, 0.5]
    """
    ramp = recipe.missing.ramp
    return recipe.missing.several * (min(1.0, progress / ramp) if ramp > 0 else 1.0)


def _withhold(
    recipe: Recipe, sources: list[str], count: int, rng: np.random.Generator
) -> frozenset[str]:
    if count == 0:
        return frozenset()
    first = str(rng.choice([m for m in sources if recipe.modalities[m] == "either"] or sources))
    others = [m for m in sources if m != first]
    return frozenset([first, *(str(m) for m in rng.permutation(others)[: count - 1])])
