"""Choose a recipe: the one that was asked for, with all that the command line changes in it."""

from __future__ import annotations

from collections.abc import Sequence

from bids_synth.core.settings import Settings
from bids_synth.errors import UsageError, did_you_mean
from bids_synth.recipe.recipe import Recipe, load_recipe
from bids_synth.recipe.sections.network import POINTWISE
from bids_synth.recipe.tasks import tasks_of

SLOPPY = {
    "grid.spacing": "4.0",
    "preparation.registration_spacing": "4.0",
    "fit.steps": "20",
    "fit.steps_per_epoch": "10",
    "evaluation.bootstrap": "200",
}
"""What `--sloppy` overrides, beside the network: enough to run every line of code, useless as a
model."""


def chosen_recipe(settings: Settings) -> Recipe:
    """The recipe that was asked for, with `--sloppy`, `--set` and `--modalities` applied."""
    name = settings.recipe or "impute"
    recipe = load_recipe(name, settings.overrides)
    if settings.sloppy:
        recipe = load_recipe(name, {**SLOPPY, **_small(recipe), **settings.overrides})
    return limited(recipe, settings.modalities)


def _small(recipe: Recipe) -> dict[str, str]:
    """What makes a recipe's network small; the window of one that sees voxels costs nothing."""
    if recipe.network.name in POINTWISE:
        return {"network.width": "16", "fit.batch": "2"}
    patch = {"fit.patch": str(recipe.least_patch)}
    # The size of a network of another package is its own affair.
    return patch if recipe.network.name == "own" else {"network.filters": "8", **patch}


def limited(recipe: Recipe, modalities: Sequence[str]) -> Recipe:
    """The recipe with only `modalities` (all where empty); UsageError names strangers."""
    if strangers := [m for m in modalities if m not in recipe.modalities]:
        message = (
            f"--modalities {' '.join(strangers)}: not in recipe {recipe.name}; "
            f"allowed: {', '.join(recipe.modalities)}"
            f"{''.join(did_you_mean(m, recipe.modalities) for m in strangers)}"
        )
        raise UsageError(message)
    if not modalities:
        return recipe
    tasks = tasks_of(recipe.targets, recipe.sources, modalities, minimum=1)
    if not any(task.real for task in tasks):
        message = (
            f"--modalities {' '.join(modalities)}: leaves recipe {recipe.name} nothing to make "
            f"from another; name at least two, a source ({', '.join(recipe.sources)}) and another "
            f"as target ({', '.join(recipe.targets)})"
        )
        raise UsageError(message)
    return recipe.limited_to(modalities)
