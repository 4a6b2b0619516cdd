"""Filters: a user's `--bids-filter-file`, which image of a modality is meant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_synth.bids.checks.spelling import ALIKE, OTHERS, SUFFIXES
from bids_synth.bids.names import DATATYPES, ENTITIES, IMAGES, LABEL
from bids_synth.core.modality import MODALITIES
from bids_synth.errors import UsageError, raise_all

Label = str | int | None
"""A label; None for `must be absent`, ANY for `must be there`."""
ANY = "*"

_ALLOWED = (*ENTITIES.values(), "suffix", "datatype", "extension")
_PREFIXED = {"subject": "sub-", "session": "ses-"}


@dataclass(frozen=True)
class Filters:
    """Constraints on the images of each modality, by pybids entity."""

    path: Path
    """The file they were read from."""
    queries: Mapping[str, Mapping[str, tuple[Label, ...]]] = field(default_factory=dict)
    """Modality -> entity -> allowed labels."""
    notes: tuple[str, ...] = ()
    """What in the file was ignored, and why."""

    def sessions_against(self, sessions: Sequence[str]) -> list[str]:
        """One line for every session filter that leaves nothing of `--session-label`."""
        return [
            f"{self.path}: {modality}: session {_shown(labels)} contradicts "
            f"--session-label {' '.join(sessions)}; drop one of the two"
            for modality, query in self.queries.items()
            if sessions
            and (labels := query.get("session")) is not None
            and ANY not in labels
            and not {str(label) for label in labels if label is not None} & set(sessions)
        ]


def read_filters(path: Path) -> Filters:
    """Read `{query: {entity: filter}}` of fMRIPrep: null is absent, "*" is present.

    Queries are modality names in any case; those of other apps are ignored with a note.
    Raises UsageError with every fault of the file at once.
    """
    data = _read_json(path)
    if not isinstance(data, dict):
        message = f"{path}: expected a JSON object {{query: {{entity: filter}}}}"
        raise UsageError(message)
    known = {name.lower(): name for name in MODALITIES}
    queries: dict[str, Mapping[str, tuple[Label, ...]]] = {}
    notes, problems = [], []
    for key, query in data.items():
        modality = known.get(key.lower())
        if modality is None:
            notes.append(f"{path}: query {key!r} is of no modality here and is ignored")
        elif modality in queries:
            problems.append(f"{key}: {modality} is filtered twice; keep one")
        else:
            queries[modality], faults = _read_query(key, query)
            problems += faults
    raise_all(UsageError, problems, intro=f"{path}:")
    return Filters(path, queries, tuple(notes))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"--bids-filter-file {path}: cannot be read ({error.strerror})"
        raise UsageError(message) from error
    except (ValueError, RecursionError) as error:
        message = f"--bids-filter-file {path}: is not valid JSON: {error}"
        raise UsageError(message) from error


def _read_query(key: str, query: Any) -> tuple[dict[str, tuple[Label, ...]], list[str]]:
    if not isinstance(query, dict):
        return {}, [f"{key}: expected an object {{entity: filter}}, got {query!r:.40}"]
    result, problems = {}, []
    for entity, value in query.items():
        labels = value if isinstance(value, list) else [value]
        if entity not in _ALLOWED:
            problems.append(f"{key}.{entity}: {_suggestion(entity)}")
        elif not labels or not all(_is_label(label) for label in labels):
            expected = 'a label, a list of labels, null or "*"'
            problems.append(f"{key}.{entity}: expected {expected}, got {json.dumps(value):.40}")
        else:
            result[entity] = tuple(_bare(entity, label) for label in labels)
            problems += [
                f"{key}.{entity}: {fault}"
                for label in result[entity]
                if (fault := _never(entity, label))
            ]
    return result, problems


def _bare(entity: str, label: Label) -> Label:
    """A label as the index has it: `ses-A` is A, `nii.gz` is .nii.gz."""
    if not isinstance(label, str):
        return label
    if entity == "extension" and label != ANY:
        return f".{label.lstrip('.')}"
    return label.removeprefix(_PREFIXED.get(entity, ""))


def _never(entity: str, label: Label) -> str | None:
    """Why no image can ever match a label; None where one may."""
    text = f"{'null' if label is None else repr(label)} matches no image"
    if entity in ("datatype", "extension"):
        allowed = DATATYPES if entity == "datatype" else IMAGES
        wrong = label != ANY and label not in allowed
        return f"{text}; expected {' or '.join(allowed)}" if wrong else None
    if entity == "suffix":
        known = label in SUFFIXES.values() or str(label).lower() in {*OTHERS, *ALIKE}
        if label == ANY or known:
            return None
        return f"{text}: it is no suffix of BIDS; expected one such as T1w"
    if label is None or label == ANY or LABEL.fullmatch(str(label)):
        digits = label is None or label == ANY or str(label).isdigit()
        return f"{text}; expected a number" if entity == "run" and not digits else None
    return f"{text}; expected letters and digits, as labels have in BIDS"


def _is_label(value: Any) -> bool:
    return value is None or (isinstance(value, str | int) and not isinstance(value, bool))


def _suggestion(entity: str) -> str:
    if entity in ENTITIES:
        return f"write {ENTITIES[entity]!r}, the entity's name in pybids"
    return f"unknown entity; allowed: {', '.join(_ALLOWED)}"


def _shown(labels: Sequence[Label]) -> str:
    return " ".join("null" if label is None else str(label) for label in labels)
