"""Leaks: whether a model has seen a participant, by what the scans hold and by their names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bids_synth.core.fingerprint import fingerprint, fingerprints
from bids_synth.core.visit import Prepared, Visit
from bids_synth.errors import VisitError
from bids_synth.learn.model.card import Card
from bids_synth.spatial.volume import read_volume

LOG = logging.getLogger(__name__)


@dataclass
class Guard:
    """Tells whether a participant taught or selected a model, or a model that it began from.

    One scan of any modality is enough, whatever the dataset, the participant and the file are
    called now; so is the name of the dataset with the label. Of a model without fingerprints,
    as older versions wrote them, only these names are known, and that is said once.
    """

    card: Card
    dataset: str
    """Name of the dataset that is looked at."""
    visits: Sequence[Visit] = ()
    """Its visits: a participant is known by any of them."""
    _known: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if blind := [origin.name for origin in self.card.origins() if not origin.scans]:
            LOG.warning(
                "model %s holds no fingerprints of the scans that %s was fitted on: whether it "
                "has seen a participant is known only by name (dataset and label)",
                self.card.name,
                " and ".join(blind),
            )

    def reason(self, prepared: Prepared) -> str | None:
        """Why the participant of a visit may not be scored, in words; None where it may."""
        participant = prepared.visit.participant
        if participant not in self._known:
            self._known[participant] = self._look(participant, prepared)
        return self._known[participant]

    def _look(self, participant: str, prepared: Prepared) -> str | None:
        contents = list(fingerprints(prepared).values())
        for visit in self.visits:
            if visit.participant == participant and visit.label != prepared.label:
                contents += _read(visit)
        return leak(self.card, self.dataset, participant, contents)


def leak(card: Card, dataset: str, participant: str, contents: Iterable[str]) -> str | None:
    """Why a participant with these fingerprints is no stranger to a model; None where it is."""
    contents = set(contents)
    for number, origin in enumerate(card.origins()):
        which = f"its start {origin.name}" if number else "the model"
        if origin.has_seen(contents):
            return f"{which} was fitted on it (a scan of the same content)"
        if origin.dataset == dataset and origin.knows(participant):
            only = "" if origin.scans else "; known by name only"
            return f"{which} was fitted on it (the same label of {dataset}{only})"
    return None


def strangers(
    prepared: Sequence[Prepared], card: Card, dataset: str
) -> tuple[list[Prepared], list[str]]:
    """The visits of participants that a model has not seen, and a line for each of the others."""
    guard = Guard(card, dataset, [item.visit for item in prepared])
    reasons = {item.label: guard.reason(item) for item in prepared}
    lines = [left_out_line(label, why) for label, why in reasons.items() if why is not None]
    for line in lines:
        LOG.warning("%s", line)
    return [item for item in prepared if reasons[item.label] is None], lines


def left_out_line(label: str, reason: str) -> str:
    """What is said of a visit that is not scored."""
    return f"{label}: is not scored, {reason}"


def _read(visit: Visit) -> list[str]:
    contents = []
    for scan in visit.scans.values():
        try:
            contents.append(fingerprint(read_volume(scan.path)))
        except VisitError as error:
            LOG.debug("%s", error)
    return contents
