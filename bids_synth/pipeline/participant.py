"""The participant level: the path of visits from the dataset to their synthetic images."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bids_synth.bids.raw.query import Discovery
from bids_synth.core.settings import Settings
from bids_synth.core.summary import RunSummary
from bids_synth.core.synthetic import LEVELS
from bids_synth.errors import BidsSynthError, ModelError, Problem
from bids_synth.pipeline.admission import require_device
from bids_synth.pipeline.choose_model import model_folder, no_model, recipe_of
from bids_synth.pipeline.discover import discover
from bids_synth.pipeline.methods import write_methods
from bids_synth.pipeline.prepare_visits import (
    in_batches,
    open_output_dataset,
    prepare_all,
    timed,
)
from bids_synth.pipeline.visit.index import only_index, with_index, written_index
from bids_synth.recipe.recipe import Recipe
from bids_synth.system.os_errors import visit_fails

if TYPE_CHECKING:
    from bids_synth.pipeline.visit.reports import VisitResult

LOG = logging.getLogger(__name__)
BATCH = 8
"""Visits prepared at a time: bounds the size of the workflow, fills the cores."""


def run_participant(settings: Settings, begin: Callable[[], None] = lambda: None) -> RunSummary:
    """Prepare the visits that were asked for and write the images that they lack.

    `begin` is called when nothing is in the way any more, before the first file is written.
    """
    if settings.index_only:
        begin()
        return only_index(settings)
    folder = model_folder(settings)
    recipe = recipe_of(settings, folder)
    if settings.boilerplate_only:
        begin()
        return write_methods(recipe, settings)
    dataset = discover(settings, recipe)
    if settings.dry_run:
        from bids_synth.pipeline.plans.participant import planned_participant

        return planned_participant(dataset, recipe, folder, settings)
    require_device(settings)
    open_output_dataset(settings)
    begin()
    write_methods(recipe, settings)
    if settings.preproc_only:
        return _prepare_only(dataset, recipe, settings)
    if settings.reports_only:
        return _rewrite_reports(dataset, settings)
    if folder is None:
        raise ModelError(no_model(settings))
    return with_index(_synthesize(dataset, recipe, folder, settings), dataset.visits, settings)


def _synthesize(
    dataset: Discovery, recipe: Recipe, folder: Path, settings: Settings
) -> RunSummary:
    """The path of the data: prepare, synthesise, to native, write, score, report."""
    from bids_synth.pipeline.visit.reports import score_tables, write_pages
    from bids_synth.pipeline.visit.synthesize import VisitSynthesis

    synthesis = VisitSynthesis(folder, recipe, settings, dataset.visits)
    problems: list[Problem] = list(dataset.problems)
    results: list[VisitResult] = []
    wanted = [visit for visit in dataset.visits if synthesis.wants(visit)]
    for batch in timed(in_batches(wanted, BATCH), len(wanted)):
        prepared, failed = prepare_all(batch, synthesis.model.recipe, settings)
        problems += failed
        synthesis.withhold(prepared.values())
        with synthesis.progress(prepared.values()) as line:
            for label in sorted(prepared):
                with _kept_among(problems, label, settings):
                    results.append(synthesis.synthesize(prepared[label], made=line.update))
    pages, unreported = write_pages(results, problems, settings)
    problems += unreported
    tables = score_tables(results, synthesis.notes, recipe, settings)
    lines = tuple(line for result in results for line in result.lines)
    done = _counts(dataset, results, problems)
    return RunSummary(done, tuple(problems), tables, pages, lines)


@contextmanager
def _kept_among(problems: list[Problem], label: str, settings: Settings) -> Iterator[None]:
    """What fails in one visit is kept, and the others go on; not so with `--debug pdb`."""
    try:
        with visit_fails():
            yield
    except BidsSynthError as error:
        if settings.pdb:
            raise
        LOG.debug("%s failed", label, exc_info=True)
        problems.append(Problem(label, str(error)))


def _counts(
    dataset: Discovery, results: Sequence[VisitResult], problems: Sequence[Problem]
) -> tuple[str, ...]:
    """How many images there are now, by verdict, and how many visits lack nothing."""
    verdicts = Counter(level for result in results for level in result.levels)
    made, visits = sum(verdicts.values()), sum(bool(result.levels) for result in results)
    each = ", ".join(f"{verdicts[n]} {n}" for n in LEVELS if verdicts[n])
    done = [f"{made} image{'s' * (made > 1)} of {_visits(visits)}: {each}"] if made else []
    if current := sum(result.current for result in results):
        done.append(f"{_visits(current)} up to date")
    failed_here = {p.visit for p in problems} & {v.label for v in dataset.visits}
    untouched = len(dataset.visits) - len(results) - len(failed_here)
    if untouched > 0:
        done.append(f"{untouched} of {len(dataset.visits)} visits lack nothing that can be made")
    return tuple(done)


def _visits(count: int) -> str:
    return f"{count} visit{'s' * (count != 1)}"


def _rewrite_reports(dataset: Discovery, settings: Settings) -> RunSummary:
    from bids_synth.report.pages.participant import write_participant_report

    pages = tuple(
        write_participant_report(
            settings.output,
            participant,
            sessions_per_page=settings.sessions_per_page,
            embed=settings.report_embed,
        )
        for participant in sorted({visit.participant for visit in dataset.visits})
    )
    index = written_index(settings.output)
    return RunSummary(
        problems=dataset.problems, reports=(*pages, *([index] if index is not None else []))
    )


def _prepare_only(discovery: Discovery, recipe: Recipe, settings: Settings) -> RunSummary:
    problems: list[Problem] = list(discovery.problems)
    count = 0
    for batch in timed(in_batches(discovery.visits, BATCH), len(discovery.visits)):
        prepared, failed = prepare_all(batch, recipe, settings)
        problems += failed
        count += len(prepared)
    done = (f"{count} of {len(discovery.visits)} visits are prepared",)
    return RunSummary(done=done, problems=tuple(problems))
