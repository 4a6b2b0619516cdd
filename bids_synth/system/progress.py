"""Progress: how far the work is and how long it will go on, in one line of standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm  # type: ignore[import-untyped]

FORMAT = "{desc} |{bar:20}| {percentage:3.0f}% {postfix} [{elapsed}, {remaining} left]"
SELDOM = 30.0
"""Seconds between two lines where they are not on a terminal."""


def progress(total: int, what: str, *, quiet: bool, done: int = 0, leave: bool = True) -> tqdm:
    """A line that is drawn anew, or, where nobody looks at it, written now and then.

    `what` is named at its beginning, `done` of the `total` were there before; with `leave` it
    stays when it is over. Nothing is shown where `quiet`.
    """
    live = sys.stderr.isatty()
    return tqdm(
        total=total,
        initial=done,
        desc=what,
        bar_format=FORMAT,
        file=sys.stderr,
        mininterval=0.5 if live else SELDOM,
        maxinterval=60.0,
        delay=0.0 if live or leave else SELDOM,
        ascii=None if live else " #",
        leave=leave,
        disable=quiet,
    )


@contextmanager
def lines_aside() -> Iterator[None]:
    """Inside, other lines can be written to the terminal; those of progress are drawn below."""
    if not sys.stderr.isatty():
        yield
        return
    with tqdm.external_write_mode(sys.stderr):
        yield
