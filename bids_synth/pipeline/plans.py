"""Plans: what a run of either level would do, as a table or for programs (`--dry-run`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bids_synth.bids.plan import format_plan, plan
from bids_synth.bids.plan_json import incurable, plan_json
from bids_synth.bids.raw.query import Discovery
from bids_synth.core.settings import Settings
from bids_synth.core.summary import RunSummary
from bids_synth.core.visit import Visit
from bids_synth.errors import UsageError
from bids_synth.learn.split.folds import check_prepared
from bids_synth.pipeline.learnable import dataset_split, learnable, useful
from bids_synth.recipe.recipe import Recipe


def planned_participant(found: Discovery, recipe: Recipe, settings: Settings) -> RunSummary:
    """What the participant level would prepare and make."""
    if settings.as_json:
        text = plan_json(
            found,
            recipe,
            settings.dataset,
            evaluate=settings.evaluate,
            wanted=(lambda _: True) if settings.preproc_only else None,
        )
        return RunSummary(tables=(text,), problems=incurable(found))
    rows = plan(found.visits, recipe, evaluate=settings.evaluate)
    return RunSummary(tables=(format_plan(rows),), problems=found.problems)


def planned_group(asked: Recipe, found: Discovery, settings: Settings) -> RunSummary:
    """What the group level would prepare and fit, and how it would split the participants."""
    if settings.as_json:
        return _planned_json(found, asked, settings)
    recipe = learnable(asked, found)
    visits = [visit for visit in found.visits if useful(visit, recipe)]
    table = format_plan(plan(found.visits, recipe, evaluate=False))
    line = f"group would prepare and fit {recipe.name} on {len(visits)} visits"
    lines = [] if settings.preproc_only else _planned_split(asked, found, visits, settings)
    return RunSummary(done=(line, *lines), tables=(table,), problems=found.problems)


def _planned_json(found: Discovery, asked: Recipe, settings: Settings) -> RunSummary:
    """The plan for programs; content that was not fetched counts, since it can be."""
    listed = replace(found, visits=(*found.visits, *found.unusable))
    recipe = learnable(asked, listed)
    text = plan_json(
        found,
        recipe,
        settings.dataset,
        evaluate=False,
        wanted=lambda visit: useful(visit, recipe),
    )
    return RunSummary(tables=(text,), problems=incurable(found))


def _planned_split(
    asked: Recipe, found: Discovery, visits: Sequence[Visit], settings: Settings
) -> list[str]:
    """How many participants each part gets, and what would stop or weaken the fit."""
    try:
        split, notes = dataset_split(asked, found, settings)
        check_prepared(split, [visit.participant for visit in visits])
    except UsageError as error:
        return [f"the fit would not start: {error}"]
    folds = [f"{len(f.training)} training, {len(f.validation)} validation" for f in split.folds]
    return [f"split: {len(split.test)} test; {'; '.join(folds)} participants", *notes]
