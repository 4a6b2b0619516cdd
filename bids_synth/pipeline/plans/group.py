"""What the group level would do: visits, split and cost of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bids_synth.bids.plan import Action, PlanRow, format_plan
from bids_synth.bids.plan_json import incurable, plan_json
from bids_synth.bids.raw.query import Discovery
from bids_synth.core.settings import Settings
from bids_synth.core.split import Split
from bids_synth.core.summary import RunSummary
from bids_synth.core.visit import Visit
from bids_synth.errors import UsageError
from bids_synth.pipeline.learnable import (
    dataset_split,
    learnable,
    require_fit,
    require_parts,
    useful,
)
from bids_synth.pipeline.plans.cost import Estimate, estimate_json, estimate_lines, estimated
from bids_synth.recipe.recipe import Recipe


@dataclass(frozen=True)
class _Fit:
    """The fit as it would be, as far as it is known."""

    refused: str = ""
    split: Split | None = None
    notes: tuple[str, ...] = ()
    estimate: Estimate | None = None


def planned_group(asked: Recipe, discovery: Discovery, settings: Settings) -> RunSummary:
    """What the group level would prepare and fit, how it would split, and what it would cost.

    Refused where the run would be, for the same reasons.
    """
    if settings.as_json:
        return _planned_json(discovery, asked, settings)
    recipe = learnable(asked, discovery)
    visits = [visit for visit in discovery.visits if useful(visit, recipe)]
    line = f"group would prepare and fit {recipe.name} on {len(visits)} visits"
    if settings.preproc_only:
        table = format_plan(_rows(discovery.visits, visits, None, recipe))
        return RunSummary((line,), discovery.problems, (table,))
    fit = _planned_fit(asked, recipe, discovery, visits, settings)
    lines = [line]
    table = format_plan(_rows(discovery.visits, visits, fit.split, recipe))
    if fit.split is not None:
        lines += [_split_line(fit.split), *fit.notes, *_few(fit.split)]
        lines += estimate_lines(fit.estimate, visits, settings) if not fit.refused else []
    return RunSummary(tuple(lines), discovery.problems, (table,), refused=fit.refused)


def _rows(
    every: Sequence[Visit], useful: Sequence[Visit], split: Split | None, recipe: Recipe
) -> list[PlanRow]:
    """One row a visit: the part that it has in the fit, and what it shows there."""
    kept = {visit.label for visit in useful}
    rows = []
    for visit in every:
        present = tuple(m for m in recipe.modalities if m in visit.scans)
        action: Action = "left out"
        why = "no target of the recipe beside its sources"
        if visit.label in kept:
            action, why = _part(visit, split), _taught(visit, recipe)
        rows.append(PlanRow(visit.label, present, (), (), action, why))
    return rows


def _taught(visit: Visit, recipe: Recipe) -> str:
    """What a visit shows of the task."""
    targets = [task.target for task in recipe.tasks(visit.scans) if task.real]
    return f"{', '.join(targets)}, each from the others" if targets else "without pairs"


def _part(visit: Visit, split: Split | None) -> Action:
    if split is None:
        return "prepare only"
    if len(split.folds) > 1 and visit.participant in split.fitted:
        return "fitted"
    parts: Sequence[Action] = ("training", "validation", "test")
    own = split.part(visit.participant)
    return next((part for part in parts if part == own), "left out")


def _planned_json(discovery: Discovery, asked: Recipe, settings: Settings) -> RunSummary:
    """The plan for programs; content that was not fetched counts, since it can be."""
    listed = replace(discovery, visits=(*discovery.visits, *discovery.unusable))
    recipe = learnable(asked, listed)
    fit = _Fit()
    if not settings.preproc_only:
        visits = [visit for visit in listed.visits if useful(visit, recipe)]
        fit = _planned_fit(asked, recipe, discovery, visits, settings)
    text = plan_json(
        discovery,
        recipe,
        settings.dataset,
        evaluate=False,
        wanted=lambda visit: useful(visit, recipe),
        more={
            "split": _split_json(fit.split),
            "notes_split": [*fit.notes, *(_few(fit.split) if fit.split else ())],
            "cost": estimate_json(fit.estimate),
            "refused": fit.refused,
        },
    )
    return RunSummary((), incurable(discovery), (text,), refused=fit.refused)


def _planned_fit(
    asked: Recipe,
    recipe: Recipe,
    discovery: Discovery,
    visits: Sequence[Visit],
    settings: Settings,
) -> _Fit:
    """The split and the cost; what would stop the fit in place of what it hides."""
    fit = _Fit()
    try:
        split, notes = dataset_split(asked, discovery, settings)
        fit = replace(fit, split=split, notes=notes)
        require_fit(recipe, settings)
        require_parts(split, visits, settings)
        return replace(fit, estimate=estimated(recipe, split, visits, settings))
    except UsageError as error:
        return replace(fit, refused=str(error).removeprefix("cannot start: "))


def _split_line(split: Split) -> str:
    folds = [f"{len(f.training)} training, {len(f.validation)} validation" for f in split.folds]
    return f"split: {len(split.test)} test; {'; '.join(folds)} participants"


def _split_json(split: Split | None) -> Any:
    if split is None:
        return None
    folds = [
        {"training": sorted(fold.training), "validation": sorted(fold.validation)}
        for fold in split.folds
    ]
    return {"test": sorted(split.test), "folds": folds}


def _few(split: Split) -> list[str]:
    """What cannot be said from so few participants."""
    lines = []
    if len(split.test) < 2:
        count = "one test participant" if split.test else "no test participant"
        lacking = "no interval of the scores" if split.test else "no scores"
        lines.append(f"{lacking} from {count}; fit.test chooses more")
    validating = {len(fold.validation) for fold in split.folds}
    if max(validating) == 1:
        lines.append(
            "one validation participant tells how wide intervals must be and where verdicts end: "
            "little; fit.validation chooses more"
        )
    return lines
