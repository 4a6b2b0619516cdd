"""What both levels share: dataset to visits, visits to prepared, each made at most once."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bids_synth.admission import admitted
from bids_synth.bids.query import Discovery, query, read_filters
from bids_synth.errors import Problem, UsageError, VisitError
from bids_synth.machine import visit_fails
from bids_synth.prepare.external import check_skull_strip
from bids_synth.prepare.key import preparation_key
from bids_synth.recipe import Recipe, load_recipe
from bids_synth.settings import Settings
from bids_synth.summary import RunSummary
from bids_synth.units import BY_VALUES
from bids_synth.visit import Prepared, Visit
from bids_synth.volume import write_text

LOG = logging.getLogger(__name__)
SLOPPY = {
    "grid.spacing": "4.0",
    "preparation.registration_spacing": "4.0",
    "network.filters": "8",
    "fit.steps": "20",
    "fit.steps_per_epoch": "10",
    "evaluation.bootstrap": "200",
}
"""What `--sloppy` overrides: enough to run every line of code, useless as a model."""


def chosen_recipe(settings: Settings) -> Recipe:
    """The recipe that was asked for, with `--sloppy`, `--set` and `--modalities` applied."""
    name = settings.recipe or "impute"
    recipe = load_recipe(name, settings.overrides)
    if settings.sloppy:
        patch = str(recipe.least_patch)
        recipe = load_recipe(name, {**SLOPPY, "fit.patch": patch, **settings.overrides})
    return limited(recipe, settings.modalities)


def limited(recipe: Recipe, modalities: Sequence[str]) -> Recipe:
    """The recipe with only `modalities` (all where empty); UsageError names strangers."""
    if strangers := [m for m in modalities if m not in recipe.modalities]:
        message = (
            f"--modalities {' '.join(strangers)}: not in recipe {recipe.name}; "
            f"allowed: {', '.join(recipe.modalities)}"
        )
        raise UsageError(message)
    if not modalities:
        return recipe
    pairs = {(s, t) for s in recipe.sources for t in recipe.targets if s != t}
    if not any({*pair} <= set(modalities) for pair in pairs):
        message = (
            f"--modalities {' '.join(modalities)}: leaves recipe {recipe.name} nothing to make "
            f"from another; name at least two, a source ({', '.join(recipe.sources)}) and another "
            f"as target ({', '.join(recipe.targets)})"
        )
        raise UsageError(message)
    return recipe.limited_to(modalities)


def discover(settings: Settings, recipe: Recipe) -> Discovery:
    """The visits that were asked for; UsageError where there is none.

    Visits with a scan whose header is refused are among the problems. UsageError also where
    the tool of `--skull-strip` is not installed: before hours of work.
    """
    check_skull_strip(settings.skull_strip)
    found = query(
        settings.dataset,
        recipe,
        participants=settings.participants,
        sessions=settings.sessions,
        filters=read_filters(settings.filter_file) if settings.filter_file else None,
        derivatives=settings.derivatives,
        database=settings.database,
        wipe_database=settings.wipe_database,
    )
    found = admitted(found, planning=settings.dry_run)
    for note in found.notes:
        LOG.warning("%s", note)
    if not found.visits and not found.problems:
        message = (
            f"{settings.dataset}: no visit has any of {', '.join(recipe.modalities)}; "
            "check bids_dir, --participant-label, --session-label and --bids-filter-file"
        )
        raise UsageError(message)
    return found


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
                found = _found(visit, recipe, settings)
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
    for group in in_batches(rest, 1 if settings.low_mem else max(len(rest), 1)):
        made, failed = _prepare(group, recipe, settings)
        _tell(made)
        prepared |= made
        problems += failed
    for note in unit_notes(prepared.values()):
        LOG.warning("%s", note)
    return prepared, tuple(problems)


def unit_notes(prepared: Iterable[Prepared]) -> list[str]:
    """What the values of scans decided, since nothing tells their unit; one line for all alike."""
    alike: dict[str, list[str]] = {}
    for item in prepared:
        for modality, found in item.conversions.items():
            if found.by == BY_VALUES or (found.remark and not found.ratio and found.factor == 1):
                words = f"by its values the unit of {modality} is {found.unit}"
                words += "" if found.factor == 1 else f", converted to {found.becomes}"
                words += f" ({found.remark})" if found.remark else ""
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
            told = "%s: the %s covers %.0f %% of the mask; elsewhere it counts as missing"
            LOG.warning(told, label, modality, share)


def _found(visit: Visit, recipe: Recipe, settings: Settings) -> Prepared | None:
    """The visit as an earlier run has prepared it from the same scans; else None."""
    from bids_synth.bids.prepared import find_prepared

    key = preparation_key(visit, recipe, seed=settings.seed, skull_strip=settings.skull_strip)
    return None if settings.overwrite else find_prepared(visit, settings.output, key=key)


def _prepare(
    visits: Sequence[Visit], recipe: Recipe, settings: Settings
) -> tuple[dict[str, Prepared], tuple[Problem, ...]]:
    """Prepare visits and write them to the output; by label, with what failed."""
    from bids_synth.bids.prepared import write_prepared

    made, problems = _in_work(visits, recipe, settings, "prepare")
    region = recipe.preparation.mask
    written: dict[str, Prepared] = {}
    failed = list(problems)
    for label, item in made.items():
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
    from bids_synth.prepare.workflow import left_in

    place = settings.work / "withheld"
    prepared: dict[str, Prepared] = {}
    for visit in visits:
        with suppress(VisitError), visit_fails():
            key = preparation_key(
                visit, recipe, seed=settings.seed, skull_strip=settings.skull_strip
            )
            if found := left_in(place, visit, key):
                prepared[visit.label] = found
    rest = [visit for visit in visits if visit.label not in prepared]
    problems: list[Problem] = []
    if settings.synth_only:
        reason = "it is not prepared in this work directory, as --synth-only asks"
        problems, rest = [Problem(visit.label, reason) for visit in rest], []
    if rest:
        LOG.info("preparing %d visits again without the scans that are withheld", len(rest))
    for group in in_batches(rest, 1 if settings.low_mem else max(1, len(rest))):
        made, failed = _in_work(group, recipe, settings, "withheld")
        prepared |= made
        problems += failed
    return prepared, tuple(problems)


def _in_work(
    visits: Sequence[Visit], recipe: Recipe, settings: Settings, folder: str
) -> tuple[dict[str, Prepared], tuple[Problem, ...]]:
    from bids_synth.prepare.workflow import prepare_visits

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
        pdb=settings.pdb,
        resources=settings.run_logs / "resources.tsv" if settings.resource_monitor else None,
    )


def write_methods(recipe: Recipe, settings: Settings) -> RunSummary:
    """Write the methods text of a run to `logs/CITATION.md`.

    Jobs that share an output write the same text, and by rename: none sees half of it.
    """
    from bids_synth.report.boilerplate import boilerplate

    spaces = [str(space) for space in settings.spaces]
    text = boilerplate(recipe, skull_strip=settings.skull_strip, spaces=spaces)
    path = write_text(text, settings.output / "logs" / "CITATION.md")
    return RunSummary(done=(f"methods text: {path}",))


def dataset_name(dataset: Path) -> str:
    """Name of a dataset by its description, else by its folder; one line of printable text."""
    try:
        description = json.loads((dataset / "dataset_description.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        description = None
    name = description.get("Name") if isinstance(description, dict) else None
    words = " ".join(str(name or dataset.name).split())
    return "".join(letter if letter.isprintable() else "?" for letter in words)[:500]


def in_batches(visits: Sequence[Visit], size: int) -> Iterator[Sequence[Visit]]:
    """Consecutive visits, `size` at a time, so that memory and graphs stay bounded."""
    for start in range(0, len(visits), size):
        yield visits[start : start + size]
