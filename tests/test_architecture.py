"""The architecture page shows the paths as they are in the code, and they are short."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from scripts.quote import PAGE, QUOTE, ROOT, quoted, source_of

PACKAGE = ROOT / "bids_synth"
MOST = 12
"""Modules in one folder."""
LONGEST = 24
"""Lines of code that a path may have."""


def test_the_page_quotes_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert quoted(page) == page, "run python scripts/quote.py"


def test_a_page_that_differs_is_seen() -> None:
    page = PAGE.read_text(encoding="utf-8")
    changed = page.replace("prepare_all(visits, recipe, settings)", "prepare_all(visits)")
    assert changed != page
    assert quoted(changed) == page


def test_what_is_quoted_is_short() -> None:
    quotes = list(QUOTE.finditer(PAGE.read_text(encoding="utf-8")))
    assert len(quotes) == 3
    for _, path, name, _ in (m.groups() for m in quotes):
        code = [x for x in source_of(ROOT / path, name).splitlines() if not re.match(r"\s*$", x)]
        assert len(code) <= LONGEST, f"{path}: {name} has {len(code)} lines"


def test_a_name_that_is_not_there_is_told() -> None:
    with pytest.raises(LookupError, match="has no nowhere"):
        source_of(ROOT / "bids_synth" / "pipeline" / "group.py", "nowhere")


def test_a_room_can_be_taken_in_at_a_glance() -> None:
    rooms = Counter(p.parent for p in PACKAGE.rglob("*.py") if p.name != "__init__.py")
    assert {r: n for r, n in rooms.items() if n > MOST} == {}
    assert {p.name for p in PACKAGE.glob("*.py")} == {
        "__init__.py",
        "__main__.py",
        "api.py",
        "errors.py",
    }
