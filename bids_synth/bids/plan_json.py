"""Plan JSON: the plan of a run for programs, with the files that must be fetched first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bids_synth.bids.derivatives.file_names import sidecar_of
from bids_synth.bids.plan import PlanRow, plan
from bids_synth.bids.raw.content import is_away, size_away
from bids_synth.bids.raw.query import Discovery
from bids_synth.core.visit import Visit
from bids_synth.errors import Problem
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import json_text

TABLES = ("dataset_description.json", "participants.tsv", "participants.json")
"""Files of the whole dataset that every run reads."""


@dataclass(frozen=True)
class _Entry:
    """One visit: what is planned, what is in the way, and the files."""

    row: PlanRow
    visit: Visit
    faults: Sequence[str]
    files: Sequence[Path]
    absent: Sequence[Path]
    curable: bool
    """True where nothing is in the way but content that can be fetched."""


def plan_json(
    discovery: Discovery,
    recipe: Recipe,
    dataset: Path,
    *,
    evaluate: bool,
    wanted: Callable[[Visit], bool] | None = None,
    more: Mapping[str, Any] | None = None,
) -> str:
    """The plan for programs: of each visit what would be done, its files and those not there.

    Paths are relative to the dataset (absolute where a mask lies elsewhere). `absent` are
    files whose content is not there, as in a DataLad clone. While images are absent or
    refused, the action is `blocked` and the reason says what to do; `then` is the action
    once nothing is in the way. `participants` are those for whom this run does something
    after the files of `fetch` are there: whose visits are `wanted`, or, without it, those
    of whom anything is made or scored. `more` is put beside.
    """
    entries = list(_entries(discovery, recipe, evaluate=evaluate))
    chosen = [
        entry
        for entry in entries
        if entry.curable and (wanted(entry.visit) if wanted else entry.row.makes)
    ]
    tables = [path for name in TABLES if is_away(path := dataset / name)]
    fetch = [*tables, *(path for entry in chosen for path in entry.absent)]
    content = {
        "recipe": recipe.name,
        "participants": list(dict.fromkeys(entry.visit.participant for entry in chosen)),
        "fetch": _relative(fetch, dataset),
        "fetch_bytes": sum(map(size_away, fetch)),
        "visits": [_visit_entry(entry, recipe, dataset) for entry in entries],
        "notes": discovery.notes,
        **(more or {}),
    }
    return json_text(content, ascii_only=True)  # It can be written to any terminal.


def incurable(discovery: Discovery) -> tuple[Problem, ...]:
    """The problems of visits that fetching content does not cure.

    Content that is not there is what the plan for programs is asked about, and no failure.
    """
    visits = {visit.label: visit for visit in discovery.unusable}
    counts = Counter(problem.visit for problem in discovery.problems)
    away = {
        label: sum(map(is_away, _images_of(visit))) if (visit := visits.get(label)) else 0
        for label in counts
    }
    return tuple(p for p in discovery.problems if counts[p.visit] > away[p.visit])


def _images_of(visit: Visit) -> list[Path]:
    masks = [visit.brain_mask] if visit.brain_mask else []
    return [*(scan.path for scan in visit.scans.values()), *masks]


def _entries(discovery: Discovery, recipe: Recipe, *, evaluate: bool) -> Iterator[_Entry]:
    reasons: dict[str, list[str]] = {}
    for problem in discovery.problems:
        reasons.setdefault(problem.visit, []).append(problem.message)
    visits = sorted((*discovery.visits, *discovery.unusable), key=lambda visit: visit.label)
    for row, visit in zip(plan(visits, recipe, evaluate=evaluate), visits, strict=True):
        images = [visit.scans[m].path for m in row.present]
        images += [visit.brain_mask] if visit.brain_mask else []
        files = [*images, *_beside(images)]
        absent = [path for path in files if is_away(path)]
        faults = reasons.get(row.visit, [])
        # Each image that is away is one fault; any other cannot be cured by fetching.
        curable = len(faults) == len(set(absent) & set(images))
        yield _Entry(row, visit, faults, files, absent, curable)


def _beside(images: Iterable[Path]) -> list[Path]:
    """The sidecars of images, those that are listed."""
    sidecars = (image.with_name(sidecar_of(PurePosixPath(image.name)).name) for image in images)
    return [path for path in sidecars if path.is_symlink() or path.is_file()]


def _visit_entry(entry: _Entry, recipe: Recipe, dataset: Path) -> Mapping[str, Any]:
    row, visit = entry.row, entry.visit
    return {
        "visit": row.visit,
        "participant": visit.participant,
        "session": visit.session,
        "present": row.present,
        "lacking": visit.missing(recipe.targets),
        "doubtful": {m: visit.doubtful[m] for m in row.doubtful},
        "targets": row.targets,
        "evaluated": row.evaluated,
        "computed": row.computed,
        "action": "blocked" if entry.faults else row.action,
        "then": row.action if entry.curable else "blocked",
        "reason": "; ".join(entry.faults) or row.why,
        "files": _relative(entry.files, dataset),
        "absent": _relative(entry.absent, dataset),
    }


def _relative(paths: Iterable[Path], dataset: Path) -> list[str]:
    return [
        path.relative_to(dataset).as_posix() if path.is_relative_to(dataset) else str(path)
        for path in paths
    ]
