"""Query: which visits a dataset has, with one scan each of the modalities of a recipe."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids.layout import Query

from bids_synth.bids.columns import recipe_columns
from bids_synth.bids.content import content_fault, is_away
from bids_synth.bids.extent import widest
from bids_synth.bids.faults import description_notes, home_of, misplaced, table_notes
from bids_synth.bids.filters import ANY, Filters, Label, read_filters
from bids_synth.bids.index import index
from bids_synth.bids.labels import unknown_participants, unknown_sessions
from bids_synth.bids.masks import MaskFinder, derivative_problems
from bids_synth.bids.names import Name, parse_name
from bids_synth.bids.sidecar_units import UnitReader
from bids_synth.bids.traits import read_traits
from bids_synth.errors import Problem, UsageError, raise_all
from bids_synth.modality import MODALITIES, Modality
from bids_synth.recipe import Recipe
from bids_synth.visit import Scan, Visit, visit_label

__all__ = ["Discovery", "Filters", "query", "read_filters"]

Key = tuple[str, str | None]
Found = dict[Key, dict[str, list[Scan]]]
Strays = dict[Key, list[str]]

_DERIVED = frozenset({"desc", "space", "res", "den", "label", "from", "to"})
_PHASE_PARTS = frozenset({"phase", "real", "imag"})


@dataclass(frozen=True)
class Discovery:
    """What a dataset holds for a recipe."""

    visits: tuple[Visit, ...]
    """Visits with at least one scan of the recipe's modalities, by label."""
    problems: tuple[Problem, ...] = ()
    """Visits that must not be processed, each with the file and the remedy."""
    notes: tuple[str, ...] = ()
    """Warnings: choices made, things ignored."""
    unusable: tuple[Visit, ...] = ()
    """The visits of `problems`, with the scans that are listed for them."""


def query(
    dataset: Path,
    recipe: Recipe,
    *,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    filters: Filters | None = None,
    derivatives: Mapping[str, Path] | None = None,
    database: Path | None = None,
    wipe_database: bool = False,
) -> Discovery:
    """The visits of a raw dataset; labels without or with their prefix, all where empty.

    An image whose content is not there (a DataLad link that was not fetched, an empty file)
    makes its visit a problem: it exists, so it is never taken for missing.
    Raises UsageError for everything wrong with the request, all at once.
    """
    dataset = dataset.absolute()
    participants = _bare(participants, "sub-")
    sessions = _bare(sessions, "ses-")
    derivatives = derivatives or {}
    _check(dataset, participants, sessions, filters, derivatives, database)
    layout, notes = index(
        dataset, participants=participants, database=database, wipe=wipe_database
    )
    found: Found = defaultdict(dict)
    strays: Strays = defaultdict(list)
    for modality in (MODALITIES[name] for name in recipe.modalities):
        query_filters = filters.queries.get(modality.name, {}) if filters else {}
        for path, name in _named(layout, dataset, modality, query_filters):
            relative = path.relative_to(dataset)
            key = home_of(relative)
            if not _asked(key, participants, sessions):
                continue
            if fault := misplaced(path, relative, name):
                strays[key].append(fault)
                found.setdefault(key, {})
            else:
                scan = _scan(path, name, modality)
                found[key].setdefault(modality.name, []).append(scan)
    traits, trait_notes = read_traits(dataset)
    trait_notes += table_notes(dataset, traits, participants)
    trait_notes += description_notes(dataset)
    traits, column_notes = recipe_columns(traits, dataset, recipe, asked=participants)
    trait_notes += column_notes
    units = UnitReader(dataset, recipe)
    masks = MaskFinder(dataset, derivatives, recipe.reference)
    discovery = _discovery(found, strays, masks, traits, units)
    silent = _silent(participants, found, recipe)
    filter_notes = filters.notes if filters else ()
    return Discovery(
        discovery.visits,
        discovery.problems,
        (*filter_notes, *trait_notes, *notes, *silent, *discovery.notes, *units.notes),
        discovery.unusable,
    )


def _bare(labels: Sequence[str], prefix: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label.removeprefix(prefix) for label in labels))


def _check(
    dataset: Path,
    participants: Sequence[str],
    sessions: Sequence[str],
    filters: Filters | None,
    derivatives: Mapping[str, Path],
    database: Path | None,
) -> None:
    about = dataset / "dataset_description.json"
    if is_away(about):
        message = f"{about}: its content is not there; run `datalad get {about}`"
        raise UsageError(message)
    if not about.is_file():
        message = (
            f"{dataset}: is no BIDS dataset: it has no dataset_description.json; "
            "give the folder that holds that file and the sub-* folders"
        )
        raise UsageError(message)
    problems = unknown_participants(dataset, participants)
    if not problems:
        problems += unknown_sessions(dataset, participants, sessions)
    problems += filters.sessions_against(sessions) if filters else []
    problems += derivative_problems(derivatives)
    if database is not None and database.absolute().is_relative_to(dataset):
        problems.append(f"--bids-database-dir {database}: lies in the raw dataset; choose another")
    raise_all(UsageError, problems, intro="bids_dir and its options:")


def _named(
    layout: Any, dataset: Path, modality: Modality, filters: Mapping[str, tuple[Label, ...]]
) -> list[tuple[Path, Name]]:
    """Every file of a modality, with what its name says."""
    entities: dict[str, Any] = {"suffix": modality.suffix, "extension": [".nii", ".nii.gz"]}
    entities |= {name: _term(label) for name, label in modality.entities.items()}
    entities |= {name: _terms(labels) for name, labels in filters.items()}
    paths = [Path(path) for path in layout.get(return_type="filename", **entities)]
    names = [(path, _raw_name(path, dataset, modality, filters)) for path in paths]
    return [(path, name) for path, name in names if name is not None]


def _asked(key: Key, participants: Sequence[str], sessions: Sequence[str]) -> bool:
    participant, session = key
    wrong = (participants and participant not in participants) or (
        sessions and session not in sessions
    )
    return not wrong


def _scan(path: Path, name: Name, modality: Modality) -> Scan:
    own = {"sub": name.participant} | ({"ses": name.session} if name.session else {})
    return Scan(modality.name, path, own | dict(name.entities))


def _terms(labels: Sequence[Label]) -> Any:
    return _term(labels[0]) if len(labels) == 1 else [_term(label) for label in labels]


def _term(label: Label) -> Any:
    if label is None:
        return Query.NONE
    return Query.ANY if label == ANY else label


def _raw_name(
    path: Path, dataset: Path, modality: Modality, filters: Mapping[str, tuple[Label, ...]]
) -> Name | None:
    """The name of an acquired magnitude image in its folder, None for anything else."""
    try:
        relative = path.relative_to(dataset)
        name = parse_name(relative)
    except ValueError:
        return None
    wrong_folder = "datatype" not in filters and name.datatype != modality.datatype
    not_magnitude = "part" not in filters and name.entities.get("part") in _PHASE_PARTS
    derived = bool(_DERIVED & name.entities.keys())
    nested = not relative.parts[0].startswith("sub-")
    return None if wrong_folder or not_magnitude or derived or nested else name


def _discovery(
    found: Found,
    strays: Strays,
    masks: MaskFinder,
    traits: Mapping[str, Mapping[str, str]],
    units: UnitReader,
) -> Discovery:
    visits: list[Visit] = []
    unusable: list[Visit] = []
    problems, notes = [], []
    for (participant, session), by_modality in sorted(
        found.items(), key=lambda item: visit_label(*item[0])
    ):
        scans = {modality: _first(scans) for modality, scans in by_modality.items()}
        visit = Visit(participant, session, scans, traits=traits.get(participant, {}))
        notes += [
            _several(visit.label, scans[modality], all_scans)
            for modality, all_scans in by_modality.items()
            if len(all_scans) > 1
        ]
        visit, mask_notes = masks.add_to(visit)
        notes += mask_notes
        files = [scan.path for scan in scans.values()]
        files += [visit.brain_mask] if visit.brain_mask else []
        faults = [fault for file in files if (fault := content_fault(file))]
        faults += strays.get((participant, session), [])
        visit, unit_faults = units.add_to(visit)
        faults += unit_faults
        problems += [Problem(visit.label, fault) for fault in faults]
        (unusable if faults else visits).append(visit)
    return Discovery(tuple(visits), tuple(problems), tuple(notes), tuple(unusable))


def _first(scans: Sequence[Scan]) -> Scan:
    """The scan that is used of several: of those that show most of a brain, the first by name."""
    wide = widest(scans) if len(scans) > 1 else scans
    return min(wide, key=lambda scan: natural_key(scan.path.name))


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts numbers in names by value.

    >>> sorted(["run-10_T1w", "run-9_T1w"], key=natural_key)
    ['run-9_T1w', 'run-10_T1w']
    """
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(p), p) if p.isdigit() else (1, 0, p) for p in parts if p)


def _several(label: str, chosen: Scan, scans: Sequence[Scan]) -> str:
    others = sorted((s.path.name for s in scans if s is not chosen), key=natural_key)
    first = min((s.path.name for s in scans), key=natural_key)
    wider = "" if chosen.path.name == first else ", since its field of view is wider"
    return (
        f"{label}: {len(scans)} images match {chosen.modality}: {chosen.path.name} is used, not "
        f"{', '.join(others)}{wider}; to choose another, give --bids-filter-file"
    )


def _silent(participants: Sequence[str], found: Found, recipe: Recipe) -> list[str]:
    seen = {participant for participant, _ in found}
    wanted = ", ".join(recipe.modalities)
    return [
        f"sub-{label}: has no image of {wanted} that matches; nothing is done for it"
        for label in participants
        if label not in seen
    ]
