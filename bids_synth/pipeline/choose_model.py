"""Choose a model: the folder that was asked for, and the recipe that its visits follow."""

from __future__ import annotations

import logging
from pathlib import Path

from bids_synth.core.settings import Settings
from bids_synth.errors import ModelError, RecipeError, UsageError, did_you_mean
from bids_synth.pipeline.choose_recipe import chosen_recipe, limited
from bids_synth.recipe.embedded import DEFAULT, STANDS_FOR, embedded_models, fetch_hint
from bids_synth.recipe.recipe import Recipe, load_recipe

LOG = logging.getLogger(__name__)


def model_folder(settings: Settings) -> Path | None:
    """Where the model lies; None where there is none (an error only if one is needed).

    One of the output comes before one that comes with the package, and that before any folder.
    Where none is asked for, it is the recipe's own in the output, else the embedded one.
    """
    if settings.model is None:
        own = settings.models / load_recipe(settings.recipe or STANDS_FOR).name
        return own if own.is_dir() else _embedded(settings)
    known = embedded_models()
    places = [settings.models / settings.model, Path(settings.model).absolute()]
    if settings.model in known:
        places.insert(1, known[settings.model])
    for folder in places:
        if folder.is_dir():
            return folder
    if hint := fetch_hint(settings.model):
        message = f"--model {settings.model}: {hint}"
        raise UsageError(message)
    fitted = sorted(f.name for f in settings.models.glob("*")) if settings.models.is_dir() else []
    message = (
        f"--model {settings.model}: no such model folder; in {settings.models} there is: "
        f"{', '.join(fitted) or 'nothing'}; with bids_synth comes: {', '.join(known) or 'nothing'}"
        f"{did_you_mean(settings.model, [*fitted, *known])}"
    )
    raise UsageError(message)


def _embedded(settings: Settings) -> Path | None:
    """The model for those who have fitted none; None where the run wants a recipe of its own."""
    own = settings.overrides or settings.sloppy or settings.preproc_only
    if own or (settings.recipe or STANDS_FOR) != STANDS_FOR:
        return None
    folder = embedded_models().get(DEFAULT)
    if folder is not None:
        text = "%s has no model: using %s, which comes with bids_synth; `group` fits your own"
        LOG.info(text, settings.models, DEFAULT)
    return folder


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
    own = load_recipe(settings.recipe).name if settings.recipe else recipe.name
    if own != recipe.name and not (own == STANDS_FOR and folder in embedded_models().values()):
        message = f"--recipe {settings.recipe}: the model in {folder} is of recipe {recipe.name}"
        raise UsageError(message)
    return limited(recipe, settings.modalities)


def no_model(settings: Settings) -> str:
    """What is said where a model is needed and there is none."""
    name = settings.recipe or STANDS_FOR
    return (
        f"no model of recipe {name} in {settings.models}: run the group level first "
        f"(bids_synth {settings.dataset} {settings.output} group), or point to one with --model"
    )
