"""Faults: tables, sidecars and names of a dataset that contradict or cannot be read."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath

from bids_synth.bids.names import Name
from bids_synth.core.visit import visit_label

_SHOWN = 5


def home_of(relative: PurePath) -> tuple[str, str | None]:
    """Participant and session by the folders of a path relative to its dataset.

    >>> home_of(PurePath("sub-01/ses-A/anat/sub-02_T1w.nii.gz"))
    ('01', 'A')
    """
    first, second = (*relative.parts, "")[:2]
    session = second.removeprefix("ses-") if second.startswith("ses-") else None
    return first.removeprefix("sub-"), session


def misplaced(path: Path, relative: PurePath, name: Name) -> str | None:
    """What is wrong where a file lies in the folder of another visit than its name says."""
    home = home_of(relative)
    if home == (name.participant, name.session):
        return None
    said = visit_label(name.participant, name.session)
    return (
        f"{path}: its name says {said}, its folder {visit_label(*home)}; whose it is cannot be "
        "known; rename or move it"
    )


def description_notes(dataset: Path) -> list[str]:
    """A line where dataset_description.json is no JSON object: only its name is used."""
    path = dataset / "dataset_description.json"
    fault = json_fault(path)
    return [f"{path}: is ignored, {fault}; repair it"] if fault else []


def sidecar_notes(image: Path) -> list[str]:
    """A line where the JSON beside an image is broken: nothing that is done here needs it."""
    path = image.with_name(image.name.split(".", 1)[0] + ".json")
    fault = json_fault(path) if os.path.isfile(path) else None  # noqa: PTH113 (it never raises)
    return [f"{path}: is ignored, {fault}; repair it"] if fault else []


def json_fault(path: Path) -> str | None:
    """Why a file is no JSON object, None where it is one."""
    try:
        data = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    except (ValueError, RecursionError) as error:
        return f"it is not valid JSON ({error})"
    return None if isinstance(data, dict) else "it is no JSON object ({...})"


def table_notes(dataset: Path, listed: Collection[str], asked: Sequence[str]) -> list[str]:
    """Lines for participants without a row in participants.tsv, and rows without a folder.

    `listed` are the labels of its rows; where participants are asked for, only theirs are
    looked at, and the dataset is not listed.
    """
    if not listed:
        return []
    path = dataset / "participants.tsv"
    folders = set(asked) or _folders(dataset)
    notes = []
    if unlisted := sorted(folders - set(listed)):
        notes.append(f"{path}: has no row for {_some(unlisted)}; what it would say is unknown")
    if not asked and (strangers := sorted(set(listed) - folders)):
        notes.append(f"{path}: lists {_some(strangers)}, of whom there is no folder")
    return notes


def _folders(dataset: Path) -> set[str]:
    with os.scandir(dataset) as entries:
        return {e.name[4:] for e in entries if e.name.startswith("sub-") and is_folder(e)}


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or leads to one; False also for a link in a circle."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return ", ".join(f"sub-{label}" for label in labels[:_SHOWN]) + more
