"""The page of outputs lists every file, key, column and unit that the code writes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from bids_synth.bids.derivatives import verdicts
from bids_synth.core.modality import MODALITIES
from bids_synth.evaluate import lesions, volumes
from bids_synth.evaluate.trust import coverage
from bids_synth.learn.fit import record
from bids_synth.measure import table
from bids_synth.prepare.workflow import monitor

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "outputs.md").read_text("utf-8")
QUOTED = set(re.findall(r"`([^`]+)`", PAGE))
WRITERS = (
    *sorted((ROOT / "bids_synth" / "bids" / "derivatives").glob("*.py")),
    ROOT / "bids_synth" / "pipeline" / "visit" / "write.py",
    ROOT / "bids_synth" / "core" / "manifest.py",
)
COLUMNS = {
    "metrics.tsv": table.COLUMNS,
    "verdicts.tsv": tuple(verdicts._COLUMNS),
    "summary.tsv": table._SUMMARY,
    "training.tsv": record.COLUMNS,
    "coverage.tsv": coverage.COLUMNS,
    "lesions.tsv": lesions.COLUMNS,
    "volumes.tsv": volumes.COLUMNS,
    "resources.tsv": monitor.COLUMNS,
}


def keys_of(path: Path) -> Iterator[str]:
    """Keys of JSON, CamelCase as BIDS has them, in the dictionaries that a module writes."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        keys = list(node.keys) if isinstance(node, ast.Dict) else []
        if isinstance(node, ast.Assign):
            keys += [t.slice for t in node.targets if isinstance(t, ast.Subscript)]
        for key in keys:
            if isinstance(key, ast.Constant) and re.fullmatch(r"[A-Z]\w+", str(key.value)):
                yield str(key.value)


@pytest.mark.parametrize("path", WRITERS, ids=lambda path: path.name)
def test_every_key_is_listed(path: Path) -> None:
    assert sorted(set(keys_of(path)) - QUOTED) == []


def test_the_writers_are_all_that_write_sidecars() -> None:
    assert sum(len({*keys_of(path)}) for path in WRITERS) > 60
    callers = {
        path
        for path in (ROOT / "bids_synth").rglob("*.py")
        if re.search(r"\bwrite_sidecar\(", path.read_text("utf-8"))
    }
    assert callers <= set(WRITERS)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_is_listed(name: str) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    start = next(n for n, row in enumerate(rows) if f"`{name}`" in row or f"/{name}`" in row)
    found = set()
    for first in [n for n, row in enumerate(rows) if f"{name}`" in row] or [start]:
        block = [rows[first]]
        for row in rows[first + 1 :]:
            if not row.startswith("| |"):
                break
            block.append(row)
        found |= set(re.findall(r"`([^`]+)`", "".join(block)))
    assert sorted(set(COLUMNS[name]) - found) == []


def test_every_file_is_listed() -> None:
    written = (ROOT / "tests" / "container_outputs.txt").read_text("utf-8").split()
    patterns = [p for p in QUOTED if "." in p or "*" in p]
    for name in written:
        below = name.startswith(("sub-", "models/", "logs/")) and "/" in name
        short = name.rpartition("/")[2] if name.startswith("sub-") and below else name
        listed = any(fnmatch(name, p) or fnmatch(short, p) for p in patterns)
        assert listed, name


def test_every_modality_has_its_unit() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    for name, modality in MODALITIES.items():
        row = next(r for r in rows if f"`{name}`" in r.split("|")[1] and r.count("|") == 5)
        assert f"`{modality.datatype}`" in row
        assert modality.unit in row
        assert f"{modality.background:g}" in row
