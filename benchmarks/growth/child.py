"""Child: the processor time and the peak memory of one command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.growth.curve import Point

ROOT = Path(__file__).resolve().parents[2]


def measured(
    size: float,
    words: Sequence[str],
    *,
    repeats: int = 1,
    before: Callable[[], object] = lambda: None,
    codes: Sequence[int] = (0,),
) -> Point:
    """The cheapest of `repeats` runs of `python -m WORDS`; `before` is called before each.

    The peak of a child begins at that of its parent: call this from a small process.
    RuntimeError, with what it said last, where it ends with a code that is none of `codes`.
    """
    points = []
    for _ in range(repeats):
        before()
        points.append(_once(size, words, codes))
    return min(points, key=lambda point: point.seconds)


def _once(size: float, words: Sequence[str], codes: Sequence[int]) -> Point:
    child = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in codes:
        message = f"{' '.join(words)}: ended with {child.returncode}: {said[-2000:]}"
        raise RuntimeError(message)
    return Point(size, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6)
