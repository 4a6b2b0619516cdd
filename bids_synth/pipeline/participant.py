"""The participant level: the path of one visit from the dataset to its synthetic images."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from bids_synth.bids.raw.query import Discovery
from bids_synth.core.settings import Settings
from bids_synth.core.summary import RunSummary
from bids_synth.errors import BidsSynthError, ModelError, Problem, RecipeError, UsageError
from bids_synth.pipeline.discover import chosen_recipe, discover, limited
from bids_synth.pipeline.methods import write_methods
from bids_synth.pipeline.prepare_visits import in_batches, prepare_all
from bids_synth.recipe.recipe import Recipe, load_recipe
from bids_synth.system.os_errors import visit_fails

if TYPE_CHECKING:
    from bids_synth.pipeline.synthesize_visit import VisitResult

LOG = logging.getLogger(__name__)
BATCH = 8
"""Visits prepared at a time: bounds the size of the workflow, fills the cores."""


def run_participant(settings: Settings) -> RunSummary:
    """Prepare the visits that were asked for and write the images that they lack."""
    folder = _model_folder(settings)
    recipe = _recipe(settings, folder)
    if settings.boilerplate_only:
        return write_methods(recipe, settings)
    found = discover(settings, recipe)
    if settings.dry_run:
        return _planned(found, recipe, settings)
    from bids_synth.bids.derivatives.synthetic import open_output

    open_output(
        settings.output,
        dataset=settings.dataset,
        version=settings.version,
        derivatives=settings.derivatives,
    )
    write_methods(recipe, settings)
    if settings.preproc_only:
        return _prepare_only(found, recipe, settings)
    if settings.reports_only:
        from bids_synth.pipeline.synthesize_visit import rewrite_reports

        participants = sorted({visit.participant for visit in found.visits})
        pages = rewrite_reports(
            settings.output, participants, sessions_per_page=settings.sessions_per_page
        )
        return RunSummary(problems=found.problems, reports=pages)
    if folder is None:
        raise ModelError(_no_model(settings))
    return _fill(found, recipe, folder, settings)


def _fill(found: Discovery, recipe: Recipe, folder: Path, settings: Settings) -> RunSummary:
    """The path of the data: prepare, synthesise, to native, write, score, report."""
    from bids_synth.pipeline.synthesize_visit import Filler

    filler = Filler(folder, recipe, settings)
    filler.expect(found.visits)
    problems: list[Problem] = list(found.problems)
    results: list[VisitResult] = []
    for batch in in_batches(found.visits, BATCH):
        wanted = [visit for visit in batch if filler.wants(visit)]
        prepared, failed = prepare_all(wanted, filler.model.recipe, settings)
        problems += failed
        filler.withhold(prepared.values())
        for label in sorted(prepared):
            try:
                with visit_fails():
                    results.append(filler.fill(prepared[label]))
            except BidsSynthError as error:
                if settings.pdb:
                    raise
                LOG.debug("%s failed", label, exc_info=True)
                problems.append(Problem(label, str(error)))
    reports, unreported = filler.report(results, problems)
    problems += unreported
    done = [line for result in results for line in result.lines]
    failed_here = {p.visit for p in problems} & {v.label for v in found.visits}
    untouched = len(found.visits) - len(results) - len(failed_here)
    if untouched > 0:
        done.append(f"{untouched} of {len(found.visits)} visits lack nothing that can be made")
    return RunSummary(tuple(done), tuple(problems), filler.tables(results), reports)


def _prepare_only(found: Discovery, recipe: Recipe, settings: Settings) -> RunSummary:
    problems: list[Problem] = list(found.problems)
    count = 0
    for batch in in_batches(found.visits, BATCH):
        prepared, failed = prepare_all(batch, recipe, settings)
        problems += failed
        count += len(prepared)
    done = (f"{count} of {len(found.visits)} visits are prepared",)
    return RunSummary(done=done, problems=tuple(problems))


def _model_folder(settings: Settings) -> Path | None:
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


def _recipe(settings: Settings, folder: Path | None) -> Recipe:
    """The model's own recipe, so that its visits are prepared as it learned them."""
    if folder is None:
        if not (settings.preproc_only or settings.dry_run or settings.boilerplate_only):
            raise ModelError(_no_model(settings))
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


def _no_model(settings: Settings) -> str:
    name = settings.recipe or "impute"
    return (
        f"no model of recipe {name} in {settings.models}: run the group level first "
        f"(bids_synth {settings.dataset} {settings.output} group), or point to one with --model"
    )


def _planned(found: Discovery, recipe: Recipe, settings: Settings) -> RunSummary:
    from bids_synth.bids.plan import format_plan, plan
    from bids_synth.bids.plan_json import incurable, plan_json

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
