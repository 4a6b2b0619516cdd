"""Choose a model: the folder that was asked for, and the recipe that its visits follow."""

from __future__ import annotations

import logging
from pathlib import Path

from bids_synth.core.settings import Settings
from bids_synth.errors import ModelError, RecipeError, UsageError
from bids_synth.pipeline.discover import chosen_recipe, limited
from bids_synth.recipe.recipe import Recipe, load_recipe

LOG = logging.getLogger(__name__)


def model_folder(settings: Settings) -> Path | None:
    """Where the model lies; None where there is none (an error only if one is needed)."""
    if settings.model is None:
        folder = settings.models / (load_recipe(settings.recipe or "impute").name)
        return folder if folder.is_dir() else None
    for folder in (settings.models / settings.model, Path(settings.model).absolute()):
        if folder.is_dir():
            return folder
    known = sorted(f.name for f in settings.models.glob("*")) if settings.models.is_dir() else []
    message = (
        f"--model {settings.model}: no such model folder; in {settings.models} there is: "
        f"{', '.join(known) or 'nothing'}"
    )
    raise UsageError(message)


def recipe_of(settings: Settings, folder: Path | None) -> Recipe:
    """The model's own recipe, so that its visits are prepared as it learned them."""
    if folder is None:
        if not (settings.preproc_only or settings.dry_run or settings.boilerplate_only):
            raise ModelError(no_model(settings))
        return chosen_recipe(settings)
    if settings.overrides:
        message = "--set: a fitted model keeps its recipe; give --set at the group level"
        raise UsageError(message)
    try:
        recipe = load_recipe(folder / "recipe.toml")
    except RecipeError as error:
        message = (
            f"{folder}: is no model of this version: fit it anew (group), or use the bids_synth "
            f"that fitted it: {error}"
        )
        raise ModelError(message) from error
    if settings.sloppy:
        LOG.warning("--sloppy: a fitted model keeps its recipe; nothing is made more coarsely")
    if settings.recipe and load_recipe(settings.recipe).name != recipe.name:
        message = f"--recipe {settings.recipe}: the model in {folder} is of recipe {recipe.name}"
        raise UsageError(message)
    return limited(recipe, settings.modalities)


def no_model(settings: Settings) -> str:
    """What is said where a model is needed and there is none."""
    name = settings.recipe or "impute"
    return (
        f"no model of recipe {name} in {settings.models}: run the group level first "
        f"(bids_synth {settings.dataset} {settings.output} group), or point to one with --model"
    )
