"""Start: the model whose weights a fit begins from."""

from __future__ import annotations

import logging
from pathlib import Path

from bids_synth.core.settings import Settings
from bids_synth.recipe.embedded import DEFAULT, embedded_models
from bids_synth.recipe.recipe import Recipe, load_recipe
from bids_synth.recipe.sections.network import POINTWISE

LOG = logging.getLogger(__name__)


def start_of(recipe: Recipe, settings: Settings) -> Path | None:
    """The folder of `--init-from`, else of the embedded model where the recipe asks for it.

    None where the fit begins from its participants' linear answer; why is told where the recipe
    asked for more.
    """
    if settings.init_from is not None or recipe.fit.start == "linear":
        return settings.init_from
    folder = embedded_models().get(DEFAULT)
    if folder is None:
        return None
    if differing := _differences(recipe, load_recipe(folder / "recipe.toml")):
        text = "the fit begins from a line, not from the weights of %s, which has another %s"
        LOG.info(text, DEFAULT, " and ".join(differing))
        return None
    LOG.info("the fit begins from the weights of %s (fit.start)", DEFAULT)
    return folder


def _differences(recipe: Recipe, other: Recipe) -> list[str]:
    """What keeps the weights of a recipe from being those of another to begin with."""
    built = {"width", "layers", "name"}
    own, theirs = (r.network.model_dump(include=built) for r in (recipe, other))
    checks = {
        "network": own != theirs or recipe.network.name not in POINTWISE,
        "grid or preparation": recipe.preparation_parameters() != other.preparation_parameters(),
        "set of modalities": not _within(recipe, other),
    }
    return [name for name, differs in checks.items() if differs]


def _within(recipe: Recipe, other: Recipe) -> bool:
    """Whether all that a recipe shows and makes, another shows and makes too."""
    return {*recipe.inputs} <= {*other.inputs} and {*recipe.targets} <= {*other.targets}
