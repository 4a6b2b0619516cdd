"""Plan: which visits the demo dataset has, and which image each of them lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bids_synth.core.visit import visit_label

BLOCK = 12
"""The pattern of sessions and missing images repeats every so many participants."""
TWO_SESSIONS = (3, 7)
"""Places in a block with two sessions."""
LACKING = {(1, 0): 0, (3, 1): 1, (5, 0): 0}
"""(Place in a block, visit) -> which of the modalities after T1w it lacks, cyclically."""
LACKING_REFERENCE = 2
"""Place in a block that lacks the T1w, where there are at least ten participants."""


@dataclass(frozen=True)
class PlannedVisit:
    """One visit of the demo dataset."""

    number: int
    """Of the participant, from 0."""
    participant: str
    """Label without `sub-`."""
    session: str | None
    """Label without `ses-`; None where the participant has one visit only."""
    order: int
    """0 for the first visit of the participant, 1 for the second."""
    acquired: tuple[str, ...]
    """Modalities in the dataset."""
    withheld: tuple[str, ...]
    """Modalities that are made but kept out of the dataset, at most one."""

    @property
    def label(self) -> str:
        """`sub-01` or `sub-01_ses-1`."""
        return visit_label(self.participant, self.session)


def plan_visits(participants: int, modalities: Sequence[str]) -> list[PlannedVisit]:
    """Every visit; the last third of the participants lacks nothing.

    >>> [(v.label, v.withheld) for v in plan_visits(3, ("T1w", "T2w"))]
    [('sub-01', ()), ('sub-02', ('T2w',)), ('sub-03', ())]
    """
    digits = max(2, len(str(participants)))
    visits = []
    for number in range(participants):
        several = number % BLOCK in TWO_SESSIONS
        for order in range(1 + several):
            lacks = _lacks(number, order, participants, modalities)
            visits.append(
                PlannedVisit(
                    number,
                    f"{number + 1:0{digits}d}",
                    f"{order + 1}" if several else None,
                    order,
                    tuple(m for m in modalities if m != lacks),
                    tuple(m for m in modalities if m == lacks),
                )
            )
    return visits


def _lacks(number: int, order: int, participants: int, modalities: Sequence[str]) -> str | None:
    others = modalities[1:]
    if number >= participants * 2 // 3 or not others:
        return None
    place = number % BLOCK
    if place == LACKING_REFERENCE and participants >= 10:
        return modalities[0]
    which = LACKING.get((place, order))
    return None if which is None else others[which % len(others)]
