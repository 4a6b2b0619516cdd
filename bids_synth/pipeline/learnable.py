"""Learnable: what of a dataset a recipe can learn from, and the split of its participants."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from bids_synth.bids.raw.query import Discovery
from bids_synth.core.settings import Settings
from bids_synth.core.split import Split, read_split
from bids_synth.core.visit import Visit
from bids_synth.errors import RecipeError, UsageError, raise_all
from bids_synth.learn.split.folds import check_prepared, check_split, draw_split, shortages
from bids_synth.pipeline.admission import require_device
from bids_synth.recipe.recipe import Recipe

LOG = logging.getLogger(__name__)
FEWEST = 3
"""Participants that must have a modality for a model to learn it: one for every part."""
UNJUDGED = (
    "no participant validates: the weights of the last step are kept, and nothing guards against "
    "a fit that ends worse than it began"
)


def learnable(recipe: Recipe, discovery: Discovery) -> Recipe:
    """The recipe without the modalities that too few participants have."""
    counts = _counts(discovery.visits)
    kept = [m for m in recipe.modalities if counts[m] >= FEWEST]
    if dropped := [m for m in recipe.modalities if m not in kept]:
        text = ", ".join(f"{m} ({counts[m]})" for m in dropped)
        LOG.warning("left out, fewer than %d participants have them: %s", FEWEST, text)
    if len(kept) < 2:
        text = ", ".join(f"{m} {counts[m]}" for m in recipe.modalities)
        message = (
            f"recipe {recipe.name} needs two modalities with at least {FEWEST} participants "
            f"each; the dataset has: {text}"
        )
        count = len({problem.visit for problem in discovery.problems})
        unread = [f"{count} visit(s) cannot be used:"] if discovery.problems else []
        message = "\n  ".join([message, *unread, *map(str, discovery.problems)])
        raise UsageError(message)
    return recipe.limited_to(kept)


def useful(visit: Visit, recipe: Recipe) -> bool:
    """True where a target can be withheld and enough sources remain, or no pair is needed."""
    if recipe.unpaired:
        return any(m in visit.scans for m in recipe.modalities)
    return any(task.real for task in recipe.tasks(visit.scans))


def checked_split(
    asked: Recipe,
    recipe: Recipe,
    discovery: Discovery,
    visits: Sequence[Visit],
    settings: Settings,
) -> Split:
    """The split; or UsageError, before hours of preparation, for what would stop the fit."""
    require_fit(recipe, settings)
    split, notes = dataset_split(asked, discovery, settings)
    require_parts(split, visits, settings)
    for note in notes:
        LOG.warning("%s", note)
    return split


def require_parts(split: Split, visits: Sequence[Visit], settings: Settings) -> None:
    """UsageError where the visits leave a part empty, or the fold asked for is not there."""
    check_prepared(split, [visit.participant for visit in visits])
    if settings.fold is not None and settings.fold >= len(split.folds):
        message = f"--fold {settings.fold}: expected 0 to {len(split.folds) - 1} (--split-file)"
        raise UsageError(message)


def require_fit(recipe: Recipe, settings: Settings) -> None:
    """UsageError where the machine, a model to start from or the recipe stands in the way."""
    require_device(settings)
    from bids_synth.learn.model.size_limits import memory_problems, size_problems

    raise_all(RecipeError, size_problems(recipe), intro=f"recipe {recipe.name}:")
    raise_all(UsageError, memory_problems(recipe, settings.memory_gb), intro="cannot start:")
    if settings.init_from is not None:
        from bids_synth.learn.model.model import load_model

        load_model(settings.init_from)
    if recipe.evaluation.features_from:
        from bids_synth.evaluate.score import evaluation_features

        evaluation_features(recipe)
    if settings.tune and not recipe.tune:
        message = f"--tune: recipe {recipe.name} has no section [tune] that says what to try"
        raise UsageError(message)
    if settings.tune:
        recipe.check_search()


def dataset_split(
    asked: Recipe, discovery: Discovery, settings: Settings
) -> tuple[Split, tuple[str, ...]]:
    """The split of the participants that the dataset has, and what is to be said of it.

    Drawn from files that are listed, also of visits that cannot be used: whatever fails, at
    whatever moment and in whichever of several jobs, moves nobody. Notes name modalities that
    a part lacks, and strangers of `--split-file`. Raises UsageError where it cannot be drawn.
    """
    listed = (*discovery.visits, *discovery.unusable)
    counts = _counts(listed)
    kept = [m for m in asked.modalities if counts[m] >= FEWEST]
    recipe = asked.limited_to(kept)
    visits = [visit for visit in listed if useful(visit, recipe)]
    having: dict[str, set[str]] = {}
    for visit in visits:
        present = {m for m in recipe.modalities if m in visit.scans}
        having.setdefault(visit.participant, set()).update(present)
    notes: list[str] = []
    if settings.split_file:
        split, notes = check_split(read_split(settings.split_file), having)
    else:
        split = draw_split(
            sorted(having),
            test=recipe.fit.test,
            validation=recipe.fit.validation,
            folds=settings.folds,
            seed=settings.seed,
            strata={visit.participant: visit.traits for visit in visits},
            by=recipe.fit.stratify,
            having=having,
        )
    if any(not fold.validation for fold in split.folds):
        notes = [*notes, UNJUDGED]
    return split, (*notes, *shortages(split, having))


def _counts(visits: Sequence[Visit]) -> Counter[str]:
    """Modality -> number of participants that have it."""
    return Counter(m for m, _ in {(m, v.participant) for v in visits for m in v.scans})
