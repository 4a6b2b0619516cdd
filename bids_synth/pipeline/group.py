"""The group level: visits -> prepared -> split -> fit -> held-out scores -> report."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bids_synth.bids.raw.query import Discovery
from bids_synth.core.settings import Settings
from bids_synth.core.split import Split
from bids_synth.core.summary import RunSummary
from bids_synth.core.visit import Prepared
from bids_synth.learn.split.folds import check_prepared
from bids_synth.pipeline.choose_recipe import chosen_recipe
from bids_synth.pipeline.discover import dataset_name, discover
from bids_synth.pipeline.learnable import checked_split, learnable, useful
from bids_synth.pipeline.methods import write_methods
from bids_synth.pipeline.prepare_visits import open_output_dataset, prepare_all
from bids_synth.pipeline.start import start_of
from bids_synth.recipe.recipe import Recipe

if TYPE_CHECKING:
    from bids_synth.learn.model.model import Model

LOG = logging.getLogger(__name__)


def run_group(settings: Settings, begin: Callable[[], None] = lambda: None) -> RunSummary:
    """Fit the recipe's model on a dataset and score it on participants it never saw.

    `begin` is called when nothing is in the way any more, before the first file is written.
    """
    asked = chosen_recipe(settings)
    if settings.boilerplate_only:
        begin()
        return write_methods(asked, settings)
    dataset = discover(settings, asked)
    if settings.dry_run:
        from bids_synth.pipeline.plans.group import planned_group

        return planned_group(asked, dataset, settings)
    return _prepare_and_learn(asked, dataset, settings, begin)


def _prepare_and_learn(
    asked: Recipe, dataset: Discovery, settings: Settings, begin: Callable[[], None]
) -> RunSummary:
    """The path of the data: split, prepare, fit, score."""
    recipe = learnable(asked, dataset)
    visits = [visit for visit in dataset.visits if useful(visit, recipe)]
    fits = not settings.preproc_only
    split = checked_split(asked, recipe, dataset, visits, settings) if fits else None
    open_output_dataset(settings)
    begin()
    write_methods(recipe, settings)
    prepared, problems = prepare_all(visits, recipe, settings)
    if split is None:
        summary = RunSummary(done=(f"{len(prepared)} of {len(visits)} visits are prepared",))
    else:
        summary = _learn(recipe, prepared, split, settings)
    return replace(summary, problems=(*dataset.problems, *problems))


def _learn(
    recipe: Recipe, prepared: Mapping[str, Prepared], split: Split, settings: Settings
) -> RunSummary:
    """Search the recipe's values, or fit its model and score it."""
    items = [prepared[label] for label in sorted(prepared)]
    check_prepared(split, [item.visit.participant for item in items])
    if settings.tune:
        from bids_synth.pipeline.tune import tune_and_report

        return tune_and_report(recipe, items, split, settings)
    return _fit_and_score(recipe, items, split, settings)


def _fit_and_score(
    recipe: Recipe,
    items: Sequence[Prepared],
    split: Split,
    settings: Settings,
) -> RunSummary:
    from bids_synth.evaluate.leaks import strangers
    from bids_synth.learn.budget import recipe_within
    from bids_synth.learn.device import use_threads
    from bids_synth.learn.fit.fit import fit_model
    from bids_synth.learn.model.model import load_model
    from bids_synth.measure.protocol import prepared_score

    use_threads(settings.omp_nthreads, most=settings.nprocs)
    folder, name = settings.models / recipe.name, dataset_name(settings.dataset)
    held_out = [item for item in items if item.visit.participant in split.test]
    begun = start_of(recipe, settings)
    if begun is not None:
        # Told before the hours of the fit; found again from the new model after them.
        strangers(held_out, load_model(begun).card, name)
    if settings.fit_minutes is not None:
        recipe = recipe_within(
            recipe,
            items,
            split,
            prepared_score,
            minutes=settings.fit_minutes,
            name=recipe.name,
            work=settings.work,
            seed=settings.seed,
            device=settings.device,
            fold=settings.fold,
            init_from=begun,
            resume=settings.resume and not settings.overwrite,
        )
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
        init_from=begun,
        dataset=name,
        version=settings.version,
    )
    if len(model.card.weights) < len(split.folds) * recipe.fit.members:
        line = f"fold {settings.fold} is fitted; when all are, run group without --fold to collect"
        return RunSummary(done=(line,))
    from bids_synth.pipeline.score import score_and_report

    model = _with_evidence(model, items, split, settings)
    scored, lines = strangers(held_out, model.card, name)
    table, page = score_and_report(model, scored, settings)
    table = "\n".join([table, *lines])
    done = (f"model {model.name}: {folder}", *lines)
    return RunSummary(done=done, tables=(table,), reports=(page,))


def _with_evidence(
    model: Model, items: Sequence[Prepared], split: Split, settings: Settings
) -> Model:
    """The model with intervals and limits of its verdict; measured once, and how long it took."""
    from bids_synth.evaluate.trust.evidence import RULES, with_evidence
    from bids_synth.evaluate.trust.intervals import validation_tasks
    from bids_synth.pipeline.visit.withheld import Withheld

    if model.card.evidence == RULES:
        return model
    began = time.perf_counter()
    withheld = Withheld(model.recipe, settings)
    tasks = validation_tasks(model.recipe, items, split)
    withheld.prepare((visit, task) for _, visit, own in tasks for task in own)
    model = with_evidence(
        model, items, split, withheld.of, device=settings.device, seed=settings.seed
    )
    LOG.info("intervals and limits are measured in %.0f s", time.perf_counter() - began)
    return model
