"""What the group level would do: visits, split and cost of the fit."""

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


def planned_group(asked: Recipe, discovery: Discovery, settings: Settings) -> RunSummary:
    """What the group level would prepare and fit, and how it would split the participants."""
    if settings.as_json:
        return _planned_json(discovery, asked, settings)
    recipe = learnable(asked, discovery)
    visits = [visit for visit in discovery.visits if useful(visit, recipe)]
    table = format_plan(plan(discovery.visits, recipe, evaluate=False))
    line = f"group would prepare and fit {recipe.name} on {len(visits)} visits"
    lines = [] if settings.preproc_only else _planned_split(asked, discovery, visits, settings)
    return RunSummary(done=(line, *lines), tables=(table,), problems=discovery.problems)


def _planned_json(discovery: Discovery, asked: Recipe, settings: Settings) -> RunSummary:
    """The plan for programs; content that was not fetched counts, since it can be."""
    listed = replace(discovery, visits=(*discovery.visits, *discovery.unusable))
    recipe = learnable(asked, listed)
    text = plan_json(
        discovery,
        recipe,
        settings.dataset,
        evaluate=False,
        wanted=lambda visit: useful(visit, recipe),
    )
    return RunSummary(tables=(text,), problems=incurable(discovery))


def _planned_split(
    asked: Recipe, discovery: Discovery, visits: Sequence[Visit], settings: Settings
) -> list[str]:
    """How many participants each part gets, and what would stop or weaken the fit."""
    try:
        split, notes = dataset_split(asked, discovery, settings)
        check_prepared(split, [visit.participant for visit in visits])
    except UsageError as error:
        return [f"the fit would not start: {error}"]
    folds = [f"{len(f.training)} training, {len(f.validation)} validation" for f in split.folds]
    return [f"split: {len(split.test)} test; {'; '.join(folds)} participants", *notes]
