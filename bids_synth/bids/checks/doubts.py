"""Doubts: images that are there and are not read, so that no modality is taken for missing.

A query that finds nothing says only that no file is called as BIDS has it. Before a modality
counts as missing in a visit, all that lies in its folders is looked at here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from bids_synth.bids.checks.faults import home_of
from bids_synth.bids.checks.spelling import (
    ALIKE,
    better,
    could_be,
    name_faults,
    place_faults,
    spelled,
)
from bids_synth.bids.names import Name, parse_name
from bids_synth.bids.raw.folders import Key
from bids_synth.core.modality import MODALITIES, Modality
from bids_synth.core.visit import Visit, visit_label

DERIVED = frozenset({"desc", "space", "res", "den", "label", "from", "to"})
"""Entities of images that were made of others."""
_SESSION = re.compile(r"(?:^|[/_])ses[-_ ]?([a-zA-Z0-9+]+)", re.IGNORECASE)
PHASE_PARTS = frozenset({"phase", "real", "imag"})
"""Labels of `part-` of images that hold no magnitude."""


@dataclass(frozen=True)
class Doubt:
    """A file that may be an image of a modality and is not read as one."""

    path: PurePosixPath
    """The file, relative to the dataset."""
    modality: str
    """What it may be."""
    reason: str
    """Why it is not read, and what to do."""
    misspelled: bool = False
    """True where name or place are not those of BIDS: told even where the modality is there."""
    certain: bool = False
    """True where it is an image of this modality and of this visit, by its name."""

    @property
    def said(self) -> str:
        """How sure it is that the file is an image of the modality."""
        return "is" if self.certain else "may be"

    def line(self, label: str, *, missing: bool) -> str:
        """What the user is told of the file, where the modality is missing and where it is not."""
        if not missing:
            return f"{label}: {self.path} is not used as {self.modality}: {self.reason}"
        return (
            f"{label}: {self.path} {self.said} its {self.modality}: {self.reason}; until then no "
            f"{self.modality} is synthesised for it"
        )


@dataclass
class Doubts:
    """All that may be an image of a visit and is not read, by visit."""

    modalities: Sequence[str]
    """Modalities of the recipe."""
    by_visit: dict[Key, list[Doubt]] = field(default_factory=lambda: defaultdict(list))
    """Visit, its session in lower case -> what may be its own."""
    of_all: dict[str, list[Doubt]] = field(default_factory=lambda: defaultdict(list))
    """Participant -> what may be of any of their sessions."""

    def look_at(self, paths: Collection[PurePosixPath], used: Collection[PurePosixPath]) -> None:
        """Keep every file that may be an image of a modality and is not among the used ones."""
        for path in paths:
            if path not in used:
                for doubt in _doubts(path, self.modalities):
                    self._keep(doubt)

    def left_out(self, path: PurePosixPath, modality: str, filter_file: Path) -> None:
        """Keep an image that a filter leaves out."""
        reason = f"{filter_file} leaves it out; change the filter to use it"
        self._add(home_of(path), Doubt(path, modality, reason, certain=True))

    def misplaced(self, path: PurePosixPath, modality: str, name: Name) -> None:
        """Keep, for the visit that its name says, an image in the folder of another."""
        reason = f"it lies in the folder of {visit_label(*home_of(path))}; move or rename it"
        self._add((name.participant, name.session), Doubt(path, modality, reason))

    def shared(self, path: PurePosixPath, modality: str) -> None:
        """Keep an image of a participant that is of no one session, for their sessions."""
        reason = "it is of no one session; move it into the folder of its own"
        self.of_all[home_of(path)[0]].append(Doubt(path, modality, reason))

    def of(self, visit: Visit) -> tuple[Visit, list[str]]:
        """The visit with what is doubtful of it, and a line for each file."""
        own = list(self.by_visit.get(_folded((visit.participant, visit.session)), ()))
        if visit.session is not None:
            own += self.of_all.get(visit.participant, ())
        doubtful: dict[str, str] = {}
        notes = []
        for doubt in own:
            missing = doubt.modality not in visit.scans
            if missing or doubt.misspelled:
                notes.append(doubt.line(visit.label, missing=missing))
            if missing:
                said = f"{doubt.path} {doubt.said} it"
                others = doubtful.get(doubt.modality)
                doubtful[doubt.modality] = f"{others}, {said}" if others else said
        return replace(visit, doubtful=doubtful), notes

    def of_nobody(self, visits: Collection[Key], wanted: Callable[[Key], bool]) -> list[str]:
        """A line for each file of a visit of which nothing is read: it is none of `visits`."""
        known = set(map(_folded, visits))
        known |= {(participant, None) for participant, session in known if session}
        return [
            doubt.line(visit_label(*key), missing=False)
            for key, doubts in self.by_visit.items()
            if key not in known and wanted(key)
            for doubt in doubts
        ]

    def _keep(self, doubt: Doubt) -> None:
        (participant, session), by_folder = _whose(doubt.path)
        self._add((participant, session), doubt)
        if session is None:
            self.of_all[participant].append(doubt)
        elif not by_folder:
            self._add((participant, None), doubt)

    def _add(self, key: Key, doubt: Doubt) -> None:
        self.by_visit[_folded(key)].append(doubt)


def _folded(key: Key) -> Key:
    participant, session = key
    return participant, session.lower() if session else None


def is_derived(name: Name) -> bool:
    """True for an image that was made of others, by its entities."""
    return bool(DERIVED & name.entities.keys())


def is_phase(name: Name) -> bool:
    """True for an image that holds no magnitude, by its `part-`."""
    return name.entities.get("part") in PHASE_PARTS


def _whose(path: PurePosixPath) -> tuple[Key, bool]:
    """Participant and session, and whether the session is that of a folder of BIDS.

    Of what lies loose or in a folder misspelled it is what a word of the path says.
    """
    first = path.parts[0]
    if first.startswith("sub-") and len(path.parts) > 1:
        participant, session = home_of(path)
    else:
        participant, session = re.split(r"[^a-zA-Z0-9+]", first[3:].lstrip("-_ "))[0], None
    said = _SESSION.search(path.as_posix())
    return (participant, session or (said[1] if said else None)), session is not None


def _doubts(path: PurePosixPath, modalities: Sequence[str]) -> Iterator[Doubt]:
    suffixes = could_be(path.name)
    for modality in (MODALITIES[name] for name in modalities):
        if modality.suffix in suffixes and _agrees(path, modality):
            reason, misspelled = _reason(path, modality)
            yield Doubt(path, modality.name, reason, misspelled=misspelled)


def _agrees(path: PurePosixPath, modality: Modality) -> bool:
    """Whether a file may be this one of the modalities that differ by the agent alone."""
    if "ceagent" not in modality.entities:
        return True
    contrasted = spelled(path.name).contrasted
    return contrasted == (modality.entities["ceagent"] is not None)


def _reason(path: PurePosixPath, modality: Modality) -> tuple[str, bool]:
    last = spelled(path.name).suffix.lower()
    name = better(path, modality.suffix, modality)
    if last in ALIKE:
        kind = "MP2RAGE's image weighted by T1" if last == "unit1" else "not one image of it"
        return f"it is a {last.upper()}, {kind}; where it is meant, give it as {name}", False
    faults = [
        *name_faults(path, modality.suffix),
        *place_faults(path, modality.datatype),
    ]
    if faults:
        return f"{' and '.join(faults)}; call it {name}", True
    parsed = parse_name(path)
    if is_derived(parsed):
        key = next(k for k in parsed.entities if k in DERIVED)
        text = f"{key}-{parsed.entities[key]} names an image that was made of another"
        return f"{text}; move it to a derivative dataset", False
    if is_phase(parsed):
        return f"part-{parsed.entities['part']} is no magnitude; add the magnitude", False
    agent, expected = parsed.entities.get("ce"), modality.entities.get("ceagent")
    if agent != expected:
        return f"its agent is {agent}, expected {expected}; call it {name}", True
    return f"it is not found as such; call it {name}", True
