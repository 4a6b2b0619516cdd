"""Discover: the recipe and the visits that were asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from bids_synth.bids.raw.filters import read_filters
from bids_synth.bids.raw.query import Discovery, query
from bids_synth.core.settings import Settings
from bids_synth.errors import UsageError, did_you_mean
from bids_synth.pipeline.admission import admitted
from bids_synth.prepare.brain.external import check_skull_strip
from bids_synth.recipe.recipe import Recipe, load_recipe
from bids_synth.recipe.sections.network import POINTWISE
from bids_synth.recipe.tasks import tasks_of
from bids_synth.spatial.volume import read_json_object

LOG = logging.getLogger(__name__)


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


def discover(settings: Settings, recipe: Recipe) -> Discovery:
    """The visits that were asked for; UsageError where there is none.

    Visits with a scan whose header is refused are among the problems. UsageError also where
    the tool of `--skull-strip` is not installed: before hours of work.
    """
    check_skull_strip(settings.skull_strip)
    discovery = query(
        settings.dataset,
        recipe,
        participants=settings.participants,
        sessions=settings.sessions,
        filters=read_filters(settings.filter_file) if settings.filter_file else None,
        derivatives=settings.derivatives,
        database=settings.database,
        wipe_database=settings.wipe_database,
    )
    discovery = admitted(discovery, planning=settings.dry_run)
    for note in discovery.notes:
        LOG.warning("%s", note)
    if not discovery.visits and not discovery.problems:
        message = (
            f"{settings.dataset}: no visit has any of {', '.join(recipe.modalities)}; "
            "check bids_dir, --participant-label, --session-label and --bids-filter-file"
        )
        raise UsageError(message)
    return discovery


def dataset_name(dataset: Path) -> str:
    """Name of a dataset by its description, else by its folder; one line of printable text."""
    name = (read_json_object(dataset / "dataset_description.json") or {}).get("Name")
    words = " ".join(str(name or dataset.name).split())
    return "".join(letter if letter.isprintable() else "?" for letter in words)[:500]
