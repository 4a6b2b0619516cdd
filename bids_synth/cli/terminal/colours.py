"""Colours: of a terminal alone, and not where NO_COLOR is set (no-color.org)."""

from __future__ import annotations

import os
import re
from typing import TextIO

CODES = {"red": 31, "green": 32, "yellow": 33, "grey": 90}
VERDICTS = {"pass": "green", "review": "yellow", "fail": "red"}


def in_colour(stream: TextIO) -> bool:
    """Whether what is written there may be coloured."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and stream.isatty()


def painted(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour where the stream shows it."""
    return f"\x1b[{CODES[colour]}m{text}\x1b[0m" if in_colour(stream) else text


def verdict_painted(line: str, stream: TextIO) -> str:
    """A line about an image, its verdict in a colour of its own."""
    return re.sub(
        rf"(?<=: )({'|'.join(VERDICTS)})\b",
        lambda m: painted(m[1], VERDICTS[m[1]], stream),
        line,
        count=1,
    )
