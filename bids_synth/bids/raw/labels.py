"""Labels: participants and sessions asked for against those that a dataset has."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bids_synth.bids.checks.faults import is_folder
from bids_synth.bids.raw.folders import locked
from bids_synth.errors import did_you_mean

_SHOWN = 10


def unknown_participants(dataset: Path, labels: Sequence[str]) -> list[str]:
    """A line that names every label without a folder and some that exist; else nothing.

    The dataset is listed only where a label is unknown.
    """
    unknown = [label for label in labels if not _is_folder(dataset, "sub", label)]
    if not unknown:
        return []
    existing = sorted(_labels_in(dataset, "sub"))
    return [_sentence("--participant-label", unknown, existing, str(dataset))]


def unknown_sessions(
    dataset: Path, participants: Sequence[str], labels: Sequence[str]
) -> list[str]:
    """A line that names every session that none of the participants has; else nothing."""
    unknown = set(labels)
    existing: set[str] = set()
    for participant in participants or _labels_in(dataset, "sub"):
        if not unknown:
            return []
        folder = dataset / f"sub-{participant}"
        if locked(folder):  # Its visit fails, and says so; nobody knows its sessions.
            continue
        sessions = set(_labels_in(folder, "ses"))
        existing |= sessions
        unknown -= sessions
    if not unknown:
        return []
    ordered = [label for label in labels if label in unknown]
    where = "the participants asked for" if participants else str(dataset)
    return [_sentence("--session-label", ordered, sorted(existing), where)]


def _is_folder(parent: Path, key: str, label: str) -> bool:
    return bool(re.fullmatch(r"[a-zA-Z0-9+]+", label)) and (parent / f"{key}-{label}").is_dir()


def _labels_in(folder: Path, key: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(f"{key}-") and is_folder(entry):
                yield entry.name[len(key) + 1 :]


def _sentence(option: str, unknown: Sequence[str], existing: Sequence[str], where: str) -> str:
    shown = ", ".join(existing[:_SHOWN]) or "none"
    more = f" and {len(existing) - _SHOWN} more" if len(existing) > _SHOWN else ""
    meant = "".join(dict.fromkeys(did_you_mean(label, existing) for label in unknown))
    return f"{option}: {where} has no {', '.join(unknown)}; it has {shown}{more}{meant}"
