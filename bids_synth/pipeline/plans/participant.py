"""What the participant level would do with every visit, and what no model can make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bids_synth.bids.plan import PlanRow, format_plan, plan
from bids_synth.bids.plan_json import incurable, plan_json
from bids_synth.bids.raw.query import Discovery
from bids_synth.core.settings import Settings
from bids_synth.core.summary import RunSummary
from bids_synth.errors import UsageError
from bids_synth.pipeline.admission import require_device
from bids_synth.pipeline.choose_model import no_model
from bids_synth.pipeline.choose_recipe import chosen_recipe, limited
from bids_synth.recipe.recipe import Recipe


def planned_participant(
    discovery: Discovery, recipe: Recipe, folder: Path | None, settings: Settings
) -> RunSummary:
    """What the participant level would prepare and make with the model in `folder`.

    Where there is none, nothing is made; refused where the run would be.
    """
    rows = plan(discovery.visits, recipe, evaluate=settings.evaluate)
    lacking = folder is None and not settings.preproc_only
    refused = no_model(settings) if lacking else ""
    try:
        require_device(settings)
    except UsageError as error:
        refused = refused or str(error)
    notes = _not_made(rows, recipe, folder, settings)
    if settings.as_json:
        text = plan_json(
            discovery,
            recipe,
            settings.dataset,
            evaluate=settings.evaluate,
            wanted=(lambda _: True) if settings.preproc_only else None,
            more={"not_made": notes, "refused": refused},
        )
        return RunSummary((), incurable(discovery), (text,), refused=refused)
    if folder is None:
        why = "only prepared, as asked" if settings.preproc_only else "no model can make it"
        rows = [_without_images(row, why) for row in rows]
    return RunSummary(tuple(notes), discovery.problems, (format_plan(rows),), refused=refused)


def _without_images(row: PlanRow, why: str) -> PlanRow:
    if not row.targets and not row.evaluated:
        return row
    named = ", ".join(dict.fromkeys([*row.targets, *row.evaluated]))
    text = f"not made: {named} ({why})"
    if row.computed:
        text = f"{', '.join(row.computed)} by closed form; {text}"
    action = "compute" if row.computed else "prepare only"
    return replace(row, targets=(), evaluated=(), action=action, why=text)  # type: ignore[arg-type]


def _not_made(
    rows: Sequence[PlanRow], recipe: Recipe, folder: Path | None, settings: Settings
) -> list[str]:
    """Targets of the recipe asked for that the model does not know, one line each."""
    if folder is None:
        return []
    asked = chosen_recipe(replace(settings, overrides={}, modalities=()))
    if asked.name != recipe.name:
        return []
    asked = limited(asked, settings.modalities)
    strange = [m for m in asked.targets if m not in recipe.targets]
    people = f"{len(rows)} visit{'s' * (len(rows) != 1)}"
    return [
        f"not made: {m} of {people}: the model in {folder} has not learned it" for m in strange
    ]
