"""Templates: the HTML of pages and fragments, in which every value from a file is escaped."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent / "html"
VIEWER = FOLDER.parent.parent / "viewer"


def render(name: str, **values: Any) -> str:
    """Fill `html/<name>`; text is escaped unless it is `Markup`."""
    return _environment().get_template(name).render(**values)


def page(name: str, **values: Any) -> str:
    """`render` with the style sheet inside, so that a page needs no other file."""
    style = Markup((FOLDER / "style.css").read_text(encoding="utf-8"))  # noqa: S704
    return render(name, style=style, **values)


def viewer_script() -> Markup:
    """The script of the viewer, as it stands in a page."""
    return _of_viewer("render.js", "viewer.js")


def viewer_style() -> Markup:
    """The style sheet of the viewer."""
    return _of_viewer("viewer.css")


def _of_viewer(*names: str) -> Markup:
    parts = ((VIEWER / name).read_text(encoding="utf-8") for name in names)
    return Markup("".join(parts))  # noqa: S704


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
