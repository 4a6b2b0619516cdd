"""Reports: what became of visits, as figures, pages and the printed table of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bids_synth.core.settings import Settings
from bids_synth.core.synthetic import Synthetic
from bids_synth.core.visit import Prepared, Visit
from bids_synth.errors import Problem, VisitError
from bids_synth.learn.model.model import Model
from bids_synth.measure.features import Seen
from bids_synth.measure.table import summarise, with_frechet, write_rows
from bids_synth.measure.terminal import format_table
from bids_synth.recipe.recipe import Recipe
from bids_synth.report.pages.participant import write_participant_report
from bids_synth.report.pages.visit import VisitReport, write_visit_figures
from bids_synth.system.os_errors import visit_fails


@dataclass(frozen=True)
class VisitResult:
    """What became of one visit."""

    visit: Visit
    lines: tuple[str, ...]
    """One line for every target."""
    rows: pd.DataFrame | None = None
    """Scores, where a target was real and `--evaluate` was given."""
    seen: tuple[Seen, ...] = ()
    """Feature vectors of the same, where the recipe gives a network for them."""
    levels: tuple[str, ...] = ()
    """The verdict of every image that was made."""
    current: bool = False
    """True where all was up to date."""


def draw_visit(
    model: Model,
    settings: Settings,
    prepared: Prepared,
    images: Sequence[Synthetic],
    scores: pd.DataFrame | None,
    reduced: Mapping[str, Prepared],
    leak: str | None = None,
) -> None:
    """The figures of a visit and the fragments of its page."""
    card = model.card
    facts = {
        "name": card.name,
        "recipe": model.recipe.name,
        "version": card.version,
        "sha256": model.sha256,
        "dataset": card.dataset,
        "created": card.created,
        "networks": len(card.weights),
        "participants": len(card.training),
        "licence": card.licence,
        "intended_use": card.intended_use,
    }
    report = VisitReport(
        prepared, tuple(images), scores, facts, _training_ranges(model), reduced, leak
    )
    write_visit_figures(settings.output, report)


def write_pages(
    results: Sequence[VisitResult], problems: Sequence[Problem], settings: Settings
) -> tuple[tuple[Path, ...], list[Problem]]:
    """Write the page of every participant that was touched; pages, and what failed."""
    pages, failed = [], []
    own: dict[str, list[Problem]] = {}
    for problem in problems:
        own.setdefault(problem.visit.split("_")[0], []).append(problem)
    for participant in sorted({result.visit.participant for result in results}):
        try:
            with visit_fails():
                page = write_participant_report(
                    settings.output,
                    participant,
                    problems=own.get(f"sub-{participant}", ()),
                    sessions_per_page=settings.sessions_per_page,
                    embed=settings.report_embed,
                )
        except VisitError as error:
            failed.append(Problem(f"sub-{participant}", f"no report: {error}"))
        else:
            pages.append(page)
    return tuple(pages), failed


def score_tables(
    results: Sequence[VisitResult], notes: Sequence[str], recipe: Recipe, settings: Settings
) -> tuple[str, ...]:
    """The table of scores, and its rows beside the logs; nothing where nothing was real.

    `told` has a line for everything that was not scored.
    """
    rows = [result.rows for result in results if result.rows is not None]
    if not rows:
        return ("\n".join(["nothing was scored", *notes]),) if notes else ()
    table = pd.concat(rows, ignore_index=True)
    write_rows(table, settings.output / "logs" / f"scores-{settings.run_id}.tsv")
    resamples = recipe.evaluation.bootstrap
    summary = summarise(table, resamples=resamples, seed=settings.seed)
    seen = [one for result in results for one in result.seen]
    return ("\n".join([format_table(with_frechet(summary, seen)), *notes]),)


def _training_ranges(model: Model) -> Mapping[str, tuple[float, float]]:
    """Mean and SD of each modality over training visits, in scaled numbers."""
    ranges, windows = model.card.ranges, {}
    for modality in model.scales:
        mean, sd = (ranges.get(f"intensity_{s}_{modality}") for s in ("mean", "sd"))
        if mean is not None and sd is not None:
            windows[modality] = (mean.mean, sd.mean)
    return windows
