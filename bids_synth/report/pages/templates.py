"""Templates: the HTML of pages and fragments, in which every value from a file is escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bids_synth.spatial.volume import json_text

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


def page_with(name: str, *, sheets: Sequence[str], scripts: Sequence[str], **values: Any) -> str:
    """`page` with more style sheets and with scripts; no other script may run.

    By the policy that the page states, a browser loads nothing for it from anywhere.
    """
    styles = [(FOLDER / sheet).read_text(encoding="utf-8") for sheet in ("style.css", *sheets)]
    code = "\n".join((FOLDER / script).read_text(encoding="utf-8") for script in scripts)
    digest = b64encode(sha256(code.encode()).digest()).decode()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    style, script = Markup("\n".join(styles)), Markup(code)  # noqa: S704
    return render(name, style=style, script=script, policy=policy, **values)


def embedded_json(content: Any) -> Markup:
    """JSON for a script element: no text in it can end the element or begin another."""
    text = json_text(content, indent=None)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
