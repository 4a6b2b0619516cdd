"""Traits: what participants.tsv says of each participant."""

from __future__ import annotations

import csv
from pathlib import Path


def read_traits(dataset: Path) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Participant (without `sub-`) -> column -> value, `n/a` left out; and notes on faults.

    A table that cannot be read is noted and counts as absent: nothing but splits and recipes
    with scalars needs it.
    """
    path = dataset / "participants.tsv"
    if path.is_symlink() and not path.exists():
        return {}, [f"{path}: is ignored, its content is not there; run `datalad get {path}`"]
    if path.is_dir():
        return {}, [f"{path}: is ignored, it is a folder, expected a table; repair it"]
    if not path.is_file():
        return {}, []
    try:
        lines = path.read_text("utf-8-sig").splitlines()
        reader = csv.DictReader(lines, delimiter="\t", strict=True)
        rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return {}, [f"{path}: is ignored, it cannot be read as a table ({error}); repair it"]
    identity = next((f for f in reader.fieldnames or () if f.lower() == "participant_id"), None)
    if identity is None:
        return {}, [f"{path}: is ignored, it has no column participant_id (tab-separated)"]
    return _by_participant(rows, path, identity)


def _by_participant(
    rows: list[dict[str, str]], path: Path, identity: str
) -> tuple[dict[str, dict[str, str]], list[str]]:
    traits: dict[str, dict[str, str]] = {}
    notes = []
    for number, row in enumerate(rows, start=2):
        label = (row.pop(identity) or "").strip().removeprefix("sub-")
        if not label:
            notes.append(f"{path}: line {number} is ignored, it has no participant_id")
        elif label in traits:
            notes.append(f"{path}: line {number} is ignored, sub-{label} has a row above it")
        else:
            traits[label] = {
                column: value.strip()
                for column, value in row.items()
                if isinstance(column, str) and isinstance(value, str) and value.strip() != "n/a"
            }
    return traits, notes
