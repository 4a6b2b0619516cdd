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
    if not path.is_file():
        return {}, []
    try:
        rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines(), delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return {}, [f"{path}: is ignored, it cannot be read as a table ({error})"]
    if rows and "participant_id" not in rows[0]:
        return {}, [f"{path}: is ignored, it has no column participant_id (tab-separated)"]
    traits = {}
    for row in rows:
        label = (row.pop("participant_id") or "").strip().removeprefix("sub-")
        traits[label] = {
            column: value.strip()
            for column, value in row.items()
            if isinstance(column, str) and isinstance(value, str) and value.strip() != "n/a"
        }
    return traits, []
