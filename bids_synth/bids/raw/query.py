"""Query: which visits a dataset has, with one scan each of the modalities of a recipe."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from bids.layout import Query

from bids_synth.bids.checks.doubts import Doubts, is_derived, is_phase
from bids_synth.bids.checks.faults import description_notes, home_of, misplaced, table_notes
from bids_synth.bids.names import Name, parse_name
from bids_synth.bids.raw.columns import recipe_columns
from bids_synth.bids.raw.content import content_fault, is_away
from bids_synth.bids.raw.extent import widest
from bids_synth.bids.raw.filters import ANY, Filters, Label
from bids_synth.bids.raw.folders import Key, Listing, list_folders
from bids_synth.bids.raw.index import index
from bids_synth.bids.raw.labels import unknown_participants, unknown_sessions
from bids_synth.bids.raw.masks import MaskFinder, derivative_problems
from bids_synth.bids.raw.sidecar_units import UnitReader
from bids_synth.bids.raw.traits import read_traits
from bids_synth.core.modality import MODALITIES, Modality
from bids_synth.core.visit import Scan, Visit, visit_label
from bids_synth.errors import Problem, UsageError, raise_all
from bids_synth.recipe.recipe import Recipe

VisitScans = dict[Key, dict[str, list[Scan]]]
Strays = dict[Key, list[str]]


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
    listing = list_folders(dataset, participants)
    layout, notes = index(
        dataset,
        participants=participants,
        images=listing.images,
        database=database,
        wipe=wipe_database,
    )
    search = _Search(dataset, participants, sessions, filters, Doubts(tuple(recipe.modalities)))
    for modality in (MODALITIES[name] for name in recipe.modalities):
        search.add(layout, modality)
    search.look_at(listing)
    traits, trait_notes = read_traits(dataset)
    trait_notes += table_notes(dataset, traits, participants)
    trait_notes += description_notes(dataset)
    traits, column_notes = recipe_columns(traits, dataset, recipe, asked=participants)
    trait_notes += column_notes
    units = UnitReader(dataset, recipe)
    masks = MaskFinder(dataset, derivatives, recipe.reference)
    discovery = _discovery(search, masks, traits, units)
    silent = _silent(participants, search.scans, recipe)
    filter_notes = filters.notes if filters else ()
    return Discovery(
        discovery.visits,
        discovery.problems,
        (
            *filter_notes, *trait_notes, *notes, *search.notes(listing), *silent,
            *discovery.notes, *units.notes,
        ),
        discovery.unusable,
    )  # fmt: skip


@dataclass
class _Search:
    """What is found for each visit: scans, faults, and files of which neither can be said."""

    dataset: Path
    participants: Sequence[str]
    sessions: Sequence[str]
    filters: Filters | None
    doubts: Doubts
    scans: VisitScans = field(default_factory=lambda: defaultdict(dict))
    strays: Strays = field(default_factory=lambda: defaultdict(list))
    used: set[PurePosixPath] = field(default_factory=set)

    def add(self, layout: Any, modality: Modality) -> None:
        """Keep the images of a modality, and those that a filter leaves out as doubts."""
        filters = self.filters.queries.get(modality.name, {}) if self.filters else {}
        matching = _named(layout, self.dataset, modality, filters)
        for path, name in matching:
            self._keep(path, name, modality)
        if self.filters is None or not filters:
            return
        chosen = {path for path, _ in matching}
        for path, name in _named(layout, self.dataset, modality, {}):
            relative = PurePosixPath(path.relative_to(self.dataset))
            self.used.add(relative)
            if path not in chosen and not misplaced(path, relative, name):
                self.doubts.left_out(relative, modality.name, self.filters.path)

    def look_at(self, listing: Listing) -> None:
        """Keep what else lies in the folders, and the visits that cannot be looked at."""
        self.doubts.look_at(listing.files, self.used)
        for key, fault in listing.problems:
            of_participant = key[1] is None and (
                not self.participants or key[0] in self.participants
            )
            if of_participant or _asked(key, self.participants, self.sessions):
                self.strays[key].append(fault)
                self.scans.setdefault(key, {})

    def notes(self, listing: Listing) -> list[str]:
        """What is odd in the folders, and files of visits of which nothing is read."""
        of_nobody = self.doubts.of_nobody(self.scans.keys(), wanted=self._wanted)
        return [*listing.notes, *of_nobody]

    def _wanted(self, key: Key) -> bool:
        return _asked(key, self.participants, self.sessions)

    def _keep(self, path: Path, name: Name, modality: Modality) -> None:
        relative = PurePosixPath(path.relative_to(self.dataset))
        key = home_of(relative)
        self.used.add(relative)
        fault = misplaced(path, relative, name)
        if fault:
            self.doubts.misplaced(relative, modality.name, name)
        elif key[1] is None:
            self.doubts.shared(relative, modality.name)
        if not self._wanted(key):
            return
        if fault:
            self.strays[key].append(fault)
            self.scans.setdefault(key, {})
        else:
            self.scans[key].setdefault(modality.name, []).append(_scan(path, name, modality))


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
    not_magnitude = "part" not in filters and is_phase(name)
    derived = is_derived(name)
    nested = not relative.parts[0].startswith("sub-")
    return None if wrong_folder or not_magnitude or derived or nested else name


def _discovery(
    search: _Search,
    masks: MaskFinder,
    traits: Mapping[str, Mapping[str, str]],
    units: UnitReader,
) -> Discovery:
    visits: list[Visit] = []
    unusable: list[Visit] = []
    problems, notes = [], []
    for (participant, session), by_modality in sorted(
        search.scans.items(), key=lambda item: visit_label(*item[0])
    ):
        scans = {modality: _first(scans) for modality, scans in by_modality.items()}
        visit = Visit(participant, session, scans, traits=traits.get(participant, {}))
        notes += [
            _several(visit.label, scans[modality], all_scans)
            for modality, all_scans in by_modality.items()
            if len(all_scans) > 1
        ]
        visit, doubt_notes = search.doubts.of(visit)
        notes += doubt_notes
        visit, mask_notes = masks.add_to(visit)
        notes += mask_notes
        files = [scan.path for scan in scans.values()]
        files += [visit.brain_mask] if visit.brain_mask else []
        faults = [fault for file in files if (fault := content_fault(file))]
        faults += masks.locked(visit)
        faults += search.strays.get((participant, session), [])
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


def _silent(participants: Sequence[str], scans: VisitScans, recipe: Recipe) -> list[str]:
    seen = {participant for participant, _ in scans}
    wanted = ", ".join(recipe.modalities)
    return [
        f"sub-{label}: has no image of {wanted} that matches; nothing is done for it"
        for label in participants
        if label not in seen
    ]
