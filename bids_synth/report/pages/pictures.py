"""Pictures: how figures stand in a page, with words for who does not see them, or inside it."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path

from markupsafe import Markup

from bids_synth.spatial.volume import stays_inside

_FIGURE = re.compile(r'\b(src|data)="(\./[^"]+\.svg)"')
_PICTURE = re.compile(r"<(img|object) ")
_WORDS = re.compile(r'<svg [^>]*?\baria-label="([^"]*)"')
_LINK = re.compile(r"<small>Get figure file: <a .*?</small>", re.DOTALL)
_SCRIPT = re.compile(r'data-script="(\./[^"]+\.js)"')


def described(content: str, output: Path, title: str) -> str:
    """The content with the words of its figure (or `title`) as alternative text, read lazily."""
    figure = _FIGURE.search(content)
    words = _words(output / figure[2]) if figure else ""
    words = words or html.escape(title)

    def picture(tag: re.Match[str]) -> str:
        if tag[1] == "img":
            return f'<img alt="{words}" loading="lazy" '
        return f'<object aria-label="{words}" '

    return _PICTURE.sub(picture, content)


def inside(content: str, output: Path) -> str:
    """The content with its figures and volumes in it, so that it needs no other file."""

    def figure(found: re.Match[str]) -> str:
        path = output / found[2]
        if not (path.is_file() and stays_inside(path, output)):
            return found[0]
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        return f'{found[1]}="data:image/svg+xml;base64,{data}"'

    scripts = ""
    for address in _SCRIPT.findall(content):
        path = output / address
        if path.is_file() and stays_inside(path, output):
            scripts += f"<script>{path.read_text(encoding='utf-8')}</script>\n"
    return _LINK.sub("", _FIGURE.sub(figure, content)) + scripts


def markup(content: str) -> Markup:
    """Content whose every value was escaped when it was written."""
    return Markup(content)  # noqa: S704


def _words(path: Path) -> str:
    """What a figure says of itself, escaped; empty where it says nothing or cannot be read."""
    try:
        head = path.read_text(encoding="utf-8")[:2000]
    except (OSError, ValueError):
        return ""
    found = _WORDS.search(head)
    return html.escape(html.unescape(found[1])) if found else ""
