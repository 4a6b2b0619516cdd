"""Templates: the HTML of pages and fragments, in which every value from a file is escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent / "html"


def render(name: str, **values: Any) -> str:
    """Fill `html/<name>`; text is escaped unless it is `Markup`."""
    return _environment().get_template(name).render(**values)


def page(name: str, **values: Any) -> str:
    """`render` with the style sheet inside, so that a page needs no other file."""
    style = Markup((FOLDER / "style.css").read_text(encoding="utf-8"))  # noqa: S704
    return render(name, style=style, **values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
