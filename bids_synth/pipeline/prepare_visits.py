"""Prepare visits: those found in the output, the others made and written, each at most once."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from bids_synth.core.settings import Settings
from bids_synth.core.units import BY_VALUES
from bids_synth.core.visit import Prepared, Visit
from bids_synth.errors import Problem, VisitError
from bids_synth.prepare.workflow.key import preparation_key
from bids_synth.recipe.recipe import Recipe
from bids_synth.system.durations import duration
from bids_synth.system.os_errors import visit_fails

LOG = logging.getLogger(__name__)
TOGETHER = 100
"""Visits in one workflow: what nipype does for each of its steps grows with all of them."""


def open_output_dataset(settings: Settings) -> None:
    """Make the output dataset, its description first, or look at the one that is there."""
    from bids_synth.bids.derivatives.dataset import open_output

    open_output(
        settings.output,
        dataset=settings.dataset,
        version=settings.version,
        derivatives=settings.derivatives,
    )


def prepare_all(
    visits: Sequence[Visit], recipe: Recipe, settings: Settings
) -> tuple[dict[str, Prepared], tuple[Problem, ...]]:
    """Prepared visits by label: those found in the output, and the others made and written."""
    prepared: dict[str, Prepared] = {}
    rest: list[Visit] = []
    problems: list[Problem] = []
    for visit in visits:
        try:
            with visit_fails():
                found = earlier(visit, recipe, settings)
        except VisitError as error:
            problems.append(Problem(visit.label, str(error)))
            continue
        if found is None:
            rest.append(visit)
        else:
            prepared[visit.label] = found
    if prepared:
        LOG.info("%d of %d visits are prepared already", len(prepared), len(visits))
    _tell(prepared)
    if settings.synth_only:
        reason = "is not prepared (or its scans or the recipe changed); run --preproc-only first"
        problems += [Problem(visit.label, reason) for visit in rest]
        rest = []
    for group in in_batches(rest, _together(rest, settings)):
        fresh, failed = _prepare(group, recipe, settings)
        _tell(fresh)
        prepared |= fresh
        problems += failed
    for note in unit_notes(prepared.values()):
        LOG.warning("%s", note)
    return prepared, tuple(problems)


def unit_notes(prepared: Iterable[Prepared]) -> list[str]:
    """What the values of scans decided, since nothing tells their unit; one line for all alike."""
    alike: dict[str, list[str]] = {}
    for item in prepared:
        for modality, conversion in item.conversions.items():
            if conversion.by == BY_VALUES or (
                conversion.remark and not conversion.ratio and conversion.factor == 1
            ):
                words = f"by its values the unit of {modality} is {conversion.unit}"
                words += "" if conversion.factor == 1 else f", converted to {conversion.becomes}"
                words += f" ({conversion.remark})" if conversion.remark else ""
                alike.setdefault(words, []).append(item.label)
    return [
        f"{labels[0]}{f' and {len(labels) - 1} more' if labels[1:] else ''}: {words}"
        for words, labels in alike.items()
    ]


def _tell(prepared: Mapping[str, Prepared]) -> None:
    """Warn of what preparation saw and did not use, and of scans that show a part only."""
    for label, item in prepared.items():
        for note in item.notes:
            LOG.warning("%s: %s", label, note)
        for modality in item.coverage:
            share = 100 * item.quality.get(f"coverage_{modality}", 0.0)
            text = "%s: the %s covers %.0f %% of the mask; elsewhere it counts as missing"
            LOG.warning(text, label, modality, share)


def earlier(visit: Visit, recipe: Recipe, settings: Settings) -> Prepared | None:
    """The visit as an earlier run has prepared it from the same scans; else None."""
    from bids_synth.bids.derivatives.prepared import find_prepared

    key = preparation_key(visit, recipe, seed=settings.seed, skull_strip=settings.skull_strip)
    return None if settings.overwrite else find_prepared(visit, settings.output, key=key)


def _prepare(
    visits: Sequence[Visit], recipe: Recipe, settings: Settings
) -> tuple[dict[str, Prepared], tuple[Problem, ...]]:
    """Prepare visits and write them to the output; by label, with what failed."""
    from bids_synth.bids.derivatives.prepared import write_prepared

    fresh, problems = _in_work(visits, recipe, settings, "prepare")
    region = recipe.preparation.mask
    written: dict[str, Prepared] = {}
    failed = list(problems)
    for label, item in fresh.items():
        try:
            with visit_fails():
                written[label] = write_prepared(
                    item, settings.output, dataset=settings.dataset, region=region
                )
        except VisitError as error:
            failed.append(Problem(label, str(error)))
    return written, tuple(failed)


def prepare_reduced(
    visits: Sequence[Visit], recipe: Recipe, settings: Settings
) -> tuple[dict[str, Prepared], tuple[Problem, ...]]:
    """Visits from which scans are withheld, prepared in the work directory and nowhere else.

    By label, each at most once, with what failed; an earlier run's are taken over.
    """
    from bids_synth.prepare.workflow.workflow import left_in

    place = settings.work / "withheld"
    prepared: dict[str, Prepared] = {}
    for visit in visits:
        with suppress(VisitError), visit_fails():
            key = preparation_key(
                visit, recipe, seed=settings.seed, skull_strip=settings.skull_strip
            )
            if left := left_in(place, visit, key):
                prepared[visit.label] = left
    rest = [visit for visit in visits if visit.label not in prepared]
    problems: list[Problem] = []
    if settings.synth_only:
        reason = "it is not prepared in this work directory, as --synth-only asks"
        problems, rest = [Problem(visit.label, reason) for visit in rest], []
    if rest:
        LOG.info("preparing %d visit(s) from some of their scans alone", len(rest))
    for group in in_batches(rest, _together(rest, settings)):
        fresh, failed = _in_work(group, recipe, settings, "withheld")
        prepared |= fresh
        problems += failed
    return prepared, tuple(problems)


def _in_work(
    visits: Sequence[Visit], recipe: Recipe, settings: Settings, folder: str
) -> tuple[dict[str, Prepared], tuple[Problem, ...]]:
    from bids_synth.prepare.workflow.workflow import prepare_visits

    return prepare_visits(
        visits,
        recipe,
        work=settings.work / folder,
        seed=settings.seed,
        skull_strip=settings.skull_strip,
        nprocs=settings.nprocs,
        memory_gb=settings.memory_gb,
        plugin_file=settings.plugin_file,
        stop_on_first_crash=settings.stop_on_first_crash,
        write_graph=settings.write_graph and folder == "prepare",
        crash_dir=settings.run_logs,
        alone=settings.low_mem,
        quiet=settings.quiet,
        pdb=settings.pdb,
        resources=settings.run_logs / "resources.tsv" if settings.resource_monitor else None,
    )


def _together(visits: Sequence[Visit], settings: Settings) -> int:
    """How many visits one workflow prepares; all, where the first fault is to stop all."""
    if settings.low_mem:
        return 1
    return max(1, len(visits)) if settings.stop_on_first_crash else TOGETHER


def in_batches(visits: Sequence[Visit], size: int) -> Iterator[Sequence[Visit]]:
    """Consecutive visits, `size` at a time, so that memory and graphs stay bounded."""
    for start in range(0, len(visits), size):
        yield visits[start : start + size]


def timed(batches: Iterable[Sequence[Visit]], count: int) -> Iterator[Sequence[Visit]]:
    """Batches of `count` visits; between them it is told how many are done and the time left."""
    began, done = time.monotonic(), 0
    for batch in batches:
        yield batch
        done += len(batch)
        if done < count:
            left = (time.monotonic() - began) / done * (count - done)
            LOG.info("%d of %d visits are done, about %s left", done, count, duration(left))
