"""One vocabulary: no name that the package defines uses a banned synonym."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORDS = ROOT / "docs" / "vocabulary.md"
SOURCES = sorted((ROOT / "bids_synth").rglob("*.py"))


def banned() -> dict[str, str]:
    """Banned synonym -> the word to use, read from the vocabulary page."""
    found: dict[str, str] = {}
    for line in WORDS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[1] and not set(cells[1]) <= {"-", " "}:
            for synonym in cells[1].split(","):
                found[synonym.strip()] = cells[0]
    found.pop("instead of", None)
    return found


def defined_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names that a module gives to its classes, functions, arguments and variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno


def tokens(name: str) -> list[str]:
    """The lower-case words of a snake_case or CamelCase name."""
    return re.findall(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*", name.replace("_", " "))


def test_the_vocabulary_page_bans_something() -> None:
    assert banned()["subject"] == "participant"
    assert len(banned()) > 10
    assert banned()["fake"] == "synthetic"
    assert "checkpoint" not in banned()


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_names_keep_to_the_vocabulary(path: Path) -> None:
    words = banned()
    faults = [
        f"{path.name}:{line}: {name}: say {words[token.lower()]}"
        for name, line in defined_names(ast.parse(path.read_text(encoding="utf-8")))
        for token in tokens(name)
        if token.lower() in words
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
