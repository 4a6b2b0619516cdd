"""Bring the code that docs/architecture.md quotes up to date: `python scripts/quote.py`."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
QUOTE = re.compile(r"(<!-- (\S+\.py): (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def source_of(path: Path, name: str) -> str:
    """The text of a function or of `Class.method`; LookupError where there is none."""
    text = path.read_text(encoding="utf-8")
    body = ast.parse(text).body
    for part in name.split("."):
        kinds = ast.FunctionDef | ast.ClassDef
        matches = [node for node in body if isinstance(node, kinds) and node.name == part]
        if not matches:
            message = f"{path}: has no {name}"
            raise LookupError(message)
        (node,) = matches
        body = node.body
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
    return textwrap.dedent("\n".join(lines))


def quoted(page: str) -> str:
    """The page with every quotation as the code is now."""
    return QUOTE.sub(
        lambda m: f"{m[1]}```python\n{source_of(ROOT / m[2], m[3])}\n```\n{m[4]}", page
    )


if __name__ == "__main__":
    PAGE.write_text(quoted(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
