"""The group level: visits -> prepared -> split -> fit -> held-out scores -> report."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from bids_synth.bids.raw.query import Discovery
from bids_synth.core.settings import Settings
from bids_synth.core.split import Split, read_split
from bids_synth.core.summary import RunSummary
from bids_synth.core.visit import Prepared, Visit
from bids_synth.errors import RecipeError, UsageError, raise_all
from bids_synth.learn.split.folds import check_prepared, check_split, draw_split, shortages
from bids_synth.pipeline.discover import chosen_recipe, dataset_name, discover
from bids_synth.pipeline.methods import write_methods
from bids_synth.pipeline.prepare_visits import prepare_all
from bids_synth.recipe.recipe import Recipe

LOG = logging.getLogger(__name__)
FEWEST = 3
"""Participants that must have a modality for a model to learn it: one for every part."""


def run_group(settings: Settings) -> RunSummary:
    """Fit the recipe's model on a dataset and score it on participants it never saw."""
    asked = chosen_recipe(settings)
    if settings.boilerplate_only:
        return write_methods(asked, settings)
    found = discover(settings, asked)
    if settings.dry_run and settings.as_json:
        return _planned_json(found, asked, settings)
    recipe = _learnable(asked, found)
    visits = [v for v in found.visits if _useful(v, recipe)]
    if settings.dry_run:
        return _planned(asked, recipe, found, visits, settings)
    split = None if settings.preproc_only else _check_fit(asked, recipe, found, visits, settings)
    from bids_synth.bids.derivatives.synthetic import open_output

    open_output(
        settings.output,
        dataset=settings.dataset,
        version=settings.version,
        derivatives=settings.derivatives,
    )
    write_methods(recipe, settings)
    prepared, problems = prepare_all(visits, recipe, settings)
    problems = (*found.problems, *problems)
    if split is None:
        done = (f"{len(prepared)} of {len(visits)} visits are prepared",)
        return RunSummary(done=done, problems=problems)
    items = [prepared[label] for label in sorted(prepared)]
    check_prepared(split, [item.visit.participant for item in items])
    if settings.tune:
        from bids_synth.pipeline.tune import tune_and_report

        return replace(tune_and_report(recipe, items, split, settings), problems=problems)
    return replace(_fit_and_score(recipe, items, split, settings), problems=problems)


def _check_fit(
    asked: Recipe, recipe: Recipe, found: Discovery, visits: Sequence[Visit], settings: Settings
) -> Split:
    """The split; or UsageError, before hours of preparation, for what would stop the fit."""
    if settings.device.startswith("cuda"):
        from bids_synth.learn.device import resolve_device

        resolve_device(settings.device)
    from bids_synth.learn.model.size_limits import size_problems

    raise_all(RecipeError, size_problems(recipe), intro=f"recipe {recipe.name}:")
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
    split, notes = dataset_split(asked, found, settings)
    check_prepared(split, [visit.participant for visit in visits])
    for note in notes:
        LOG.warning("%s", note)
    if settings.fold is not None and settings.fold >= len(split.folds):
        message = f"--fold {settings.fold}: expected 0 to {len(split.folds) - 1} (--split-file)"
        raise UsageError(message)
    return split


def _learnable(recipe: Recipe, found: Discovery) -> Recipe:
    """The recipe without the modalities that too few participants have."""
    counts = _counts(found.visits)
    kept = [m for m in recipe.modalities if counts[m] >= FEWEST]
    if dropped := [m for m in recipe.modalities if m not in kept]:
        told = ", ".join(f"{m} ({counts[m]})" for m in dropped)
        LOG.warning("left out, fewer than %d participants have them: %s", FEWEST, told)
    if len(kept) < 2:
        told = ", ".join(f"{m} {counts[m]}" for m in recipe.modalities)
        message = (
            f"recipe {recipe.name} needs two modalities with at least {FEWEST} participants "
            f"each; the dataset has: {told}"
        )
        count = len({problem.visit for problem in found.problems})
        unread = [f"{count} visit(s) cannot be used:"] if found.problems else []
        message = "\n  ".join([message, *unread, *map(str, found.problems)])
        raise UsageError(message)
    return recipe.limited_to(kept)


def _counts(visits: Sequence[Visit]) -> Counter[str]:
    """Modality -> number of participants that have it."""
    return Counter(m for m, _ in {(m, v.participant) for v in visits for m in v.scans})


def _useful(visit: Visit, recipe: Recipe) -> bool:
    """True where a target can be withheld and enough sources remain, or no pair is needed."""
    if recipe.unpaired:
        return any(m in visit.scans for m in recipe.modalities)
    return any(task.real for task in recipe.tasks(visit.scans))


def _planned_json(found: Discovery, asked: Recipe, settings: Settings) -> RunSummary:
    """The plan for programs; content that was not fetched counts, since it can be."""
    from bids_synth.bids.plan_json import incurable, plan_json

    listed = replace(found, visits=(*found.visits, *found.unusable))
    recipe = _learnable(asked, listed)
    text = plan_json(
        found,
        recipe,
        settings.dataset,
        evaluate=False,
        wanted=lambda visit: _useful(visit, recipe),
    )
    return RunSummary(tables=(text,), problems=incurable(found))


def _planned(
    asked: Recipe, recipe: Recipe, found: Discovery, visits: Sequence[Visit], settings: Settings
) -> RunSummary:
    from bids_synth.bids.plan import format_plan, plan

    table = format_plan(plan(found.visits, recipe, evaluate=False))
    line = f"group would prepare and fit {recipe.name} on {len(visits)} visits"
    lines = [] if settings.preproc_only else _planned_split(asked, found, visits, settings)
    return RunSummary(done=(line, *lines), tables=(table,), problems=found.problems)


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


def _fit_and_score(
    recipe: Recipe,
    items: Sequence[Prepared],
    split: Split,
    settings: Settings,
) -> RunSummary:
    from bids_synth.evaluate.leaks import strangers
    from bids_synth.learn.device import use_threads
    from bids_synth.learn.fit.fit import fit_model
    from bids_synth.learn.model.model import load_model
    from bids_synth.measure.protocol import prepared_score

    use_threads(settings.omp_nthreads, most=settings.nprocs)
    folder, name = settings.models / recipe.name, dataset_name(settings.dataset)
    held_out = [item for item in items if item.visit.participant in split.test]
    if settings.init_from is not None:
        # Told before the hours of the fit; found again from the new model after them.
        strangers(held_out, load_model(settings.init_from).card, name)
    model = fit_model(
        recipe,
        items,
        split,
        prepared_score,
        folder=folder,
        work=settings.work,
        seed=settings.seed,
        device=settings.device,
        resume=settings.resume and not settings.overwrite,
        fold=settings.fold,
        overwrite=settings.overwrite,
        init_from=settings.init_from,
        dataset=name,
        version=settings.version,
    )
    if len(model.card.weights) < len(split.folds) * recipe.fit.members:
        line = f"fold {settings.fold} is fitted; when all are, run group without --fold to collect"
        return RunSummary(done=(line,))
    from bids_synth.pipeline.score import score_and_report

    scored, lines = strangers(held_out, model.card, name)
    table, page = score_and_report(model, scored, settings)
    table = "\n".join([table, *lines])
    done = (f"model {model.name}: {folder}", *lines)
    return RunSummary(done=done, tables=(table,), reports=(page,))


def dataset_split(
    asked: Recipe, found: Discovery, settings: Settings
) -> tuple[Split, tuple[str, ...]]:
    """The split of the participants that the dataset has, and what is to be said of it.

    Drawn from files that are listed, also of visits that cannot be used: whatever fails, at
    whatever moment and in whichever of several jobs, moves nobody. Notes name modalities that
    a part lacks, and strangers of `--split-file`. Raises UsageError where it cannot be drawn.
    """
    listed = (*found.visits, *found.unusable)
    counts = _counts(listed)
    kept = [m for m in asked.modalities if counts[m] >= FEWEST]
    recipe = asked.limited_to(kept)
    visits = [visit for visit in listed if _useful(visit, recipe)]
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
    return split, (*notes, *shortages(split, having))
