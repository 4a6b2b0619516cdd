"""Places: where a participant falls by its label alone, and the repair of parts that lack one."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

_GOLDEN = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio: multiples of it lie evenly (Knuth, vol. 3, section 6.4)."""
_NUMBER = re.compile(r"\d+(?=\D*$)")
EVERYBODY = ""
"""The group that every participant is of: no part may be empty."""

Parts = dict[str, int]
"""Participant -> number of the part."""


def place_of(label: str, seed: int) -> float:
    """A number from 0 to 1 that depends on label and seed alone, uniform over the seeds.

    Labels that differ in their last number alone lie evenly, each a golden section after the
    one before, so that a share of any run of numbers falls into an interval of that length.

    >>> places = sorted(place_of(f"{n:02d}", seed=1) for n in range(1, 41))
    >>> max(b - a for a, b in zip(places, places[1:])) < 0.045
    True
    """
    match = _NUMBER.search(label)
    number = int(match[0]) if match else 0
    letters = _NUMBER.sub("#", label)
    return (_hashed(seed, letters) + number * _GOLDEN) % 2**64 / 2**64


def groups_of(
    labels: Sequence[str], having: Mapping[str, Collection[str]]
) -> dict[str, frozenset[str]]:
    """Everybody, and the participants that have each modality, the rarest first."""
    names = sorted({m for label in labels for m in having.get(label, ())})
    people = {m: frozenset(p for p in labels if m in having.get(p, ())) for m in names}
    rarest = sorted(names, key=lambda m: (len(people[m]), m))
    return {EVERYBODY: frozenset(labels)} | {m: people[m] for m in rarest}


def repaired(
    parts: Parts, groups: Mapping[str, frozenset[str]], order: Sequence[int], seed: int
) -> Parts:
    """The parts with as few moved as lets every part have somebody of every group.

    A group with fewer people than there are parts is wanted in the first of `order` alone.
    Whoever moves, or changes places with another, leaves no group behind that is now complete;
    among those who may, the hash of seed, part and label decides. Where no single exchange
    helps a part goes without: `folds.shortages` tells.
    """
    wanted = [(name, number) for name, people in groups.items() for number in order[: len(people)]]
    while True:
        for name, number in wanted:
            if _lacking(parts, groups[name], number):
                better = _first_better(parts, groups, wanted, name, number, seed)
                if better is not None:
                    parts = better
                    break
        else:
            return parts


def _lacking(parts: Parts, people: Collection[str], number: int) -> bool:
    return all(parts[label] != number for label in people)


def _first_better(
    parts: Parts,
    groups: Mapping[str, frozenset[str]],
    wanted: Sequence[tuple[str, int]],
    name: str,
    number: int,
    seed: int,
) -> Parts | None:
    """The first change that gives a part somebody of a group, and takes nothing from another."""
    counts = {group: Counter(parts[p] for p in people) for group, people in groups.items()}
    now = sum(not counts[group][part] for group, part in wanted)
    for moves in _changes(parts, groups[name], number, seed):
        # Counted by the moves alone: there may be as many changes as participants.
        changed = Counter[tuple[str, int]]()
        for label, part in moves.items():
            for group in (group for group, people in groups.items() if label in people):
                changed[group, parts[label]] -= 1
                changed[group, part] += 1
        if sum(not counts[group][part] + changed[group, part] for group, part in wanted) < now:
            return parts | moves
    return None


def _changes(parts: Parts, people: Collection[str], number: int, seed: int) -> Iterator[Parts]:
    """Somebody of the group moves into the part; then, somebody of the part moves out for it."""
    movers = sorted(people, key=lambda label: _hashed(seed, f"{number}:{label}"))
    for label in movers:
        yield {label: number}
    others = sorted(p for p, part in parts.items() if part == number)
    for label in movers:
        for other in others:
            yield {label: number, other: parts[label]}


def _hashed(seed: int, text: str) -> int:
    digest = hashlib.sha256(f"{seed}:{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
