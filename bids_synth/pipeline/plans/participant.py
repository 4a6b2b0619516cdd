"""What the participant level would do with every visit, and what no model can make."""

from __future__ import annotations

from bids_synth.bids.plan import format_plan, plan
from bids_synth.bids.plan_json import incurable, plan_json
from bids_synth.bids.raw.query import Discovery
from bids_synth.core.settings import Settings
from bids_synth.core.summary import RunSummary
from bids_synth.recipe.recipe import Recipe


def planned_participant(discovery: Discovery, recipe: Recipe, settings: Settings) -> RunSummary:
    """What the participant level would prepare and make."""
    if settings.as_json:
        text = plan_json(
            discovery,
            recipe,
            settings.dataset,
            evaluate=settings.evaluate,
            wanted=(lambda _: True) if settings.preproc_only else None,
        )
        return RunSummary(tables=(text,), problems=incurable(discovery))
    rows = plan(discovery.visits, recipe, evaluate=settings.evaluate)
    return RunSummary(tables=(format_plan(rows),), problems=discovery.problems)
