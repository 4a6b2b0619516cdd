"""Strips: where every visit lies in each quality check, as data for an SVG in the page."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import MaxNLocator

from bids_synth.core.synthetic import LEVELS, Check, Level
from bids_synth.core.trust.image_row import ImageRow

WIDTH, HEIGHT, MARGIN, MIDDLE = 460, 92, 14, 36
"""Of the drawing and its edges, and the height at which points lie, in its own units."""
STEP, ROWS = 6, 9
"""Distance of points that would lie on one another, and how many of them are told apart."""
LINKS = 40
"""Most points of a strip that lead somewhere; the worst come first."""
FAR = 5.0
"""Deviation from the other visits, in robust standard deviations, from which a point is marked."""
ENOUGH = 10
"""Visits below which nobody is far from the others."""
OF_THE_MODEL = ("held_out", "interval", "networks", "lesions")
"""Checks whose answer is the same for every visit."""
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mark:
    """A point that leads to the page of its visit."""

    x: float
    y: float
    kind: str
    """`review`, `fail`, or `far`: passed, and far from the other visits."""
    words: str
    """Visit, value and verdict."""
    page: str
    """Where it leads; empty where the visit has no page."""


@dataclass(frozen=True)
class Strip:
    """One check over all visits."""

    title: str
    expected: str
    """The range that passes, where it is the same for all visits."""
    words: str
    """What is seen: how many, from where to where, how many stand out."""
    dots: str
    """Path of the points that lead nowhere."""
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    """Place and number."""
    band: tuple[float, float] | None
    """Place and width of the range that passes."""
    hidden: int
    """Points that stand out and are no links: there are too many of them."""


def strips(rows: Sequence[ImageRow], page_of: Callable[[ImageRow], str]) -> list[Strip]:
    """A strip for every check with numbers, those in which most stands out first."""
    found: dict[str, dict[tuple[str, str], tuple[ImageRow, Check]]] = {}
    for row in rows:
        for check in row.checks:
            if check.name not in OF_THE_MODEL and _NUMBER.match(check.value):
                # What is said of a visit is said with each of its images.
                found.setdefault(check.name, {}).setdefault((row.visit, check.value), (row, check))
    drawn = [_strip(list(points.values()), page_of) for points in found.values()]
    return sorted(drawn, key=lambda strip: -len(strip.marks) - strip.hidden)


def _strip(points: Sequence[tuple[ImageRow, Check]], page_of: Callable[[ImageRow], str]) -> Strip:
    values = np.array([_value(check.value) for _, check in points])
    ranges = {check.expected for _, check in points}
    expected = ranges.pop() if len(ranges) == 1 else ""
    low, high = _ends(values, _limits(expected))
    x = MARGIN + (WIDTH - 2 * MARGIN) * (values - low) / (high - low)
    y = _apart(x)
    distance = _distance(values)
    kinds = [_kind(check.level, far) for (_, check), far in zip(points, distance, strict=True)]
    order = sorted(
        (n for n, kind in enumerate(kinds) if kind),
        key=lambda n: (-("far", *LEVELS).index(kinds[n]), -distance[n]),
    )
    marks = [
        Mark(
            round(float(x[n]), 1),
            float(y[n]),
            kinds[n],
            f"{points[n][0].visit}: {points[n][1].value}, {_told(kinds[n])}",
            page_of(points[n][0]),
        )
        for n in order[:LINKS]
    ]
    plain = sorted(
        {(round(float(x[n])), float(y[n])) for n in range(len(points))}
        - {(round(mark.x), mark.y) for mark in marks}
    )
    ticks = [t for t in MaxNLocator(nbins=4).tick_values(low, high) if low <= t <= high]
    return Strip(
        title=points[0][1].words,
        expected=expected,
        words=_words(points, values, kinds),
        dots="".join(f"M{px} {py:g}h0" for px, py in plain),
        marks=tuple(marks),
        ticks=tuple(
            (round(MARGIN + (WIDTH - 2 * MARGIN) * (t - low) / (high - low), 1), f"{t:g}")
            for t in ticks
        ),
        band=_band(_limits(expected), low, high),
        hidden=len(order) - len(marks),
    )


def _value(text: str) -> float:
    found = _NUMBER.match(text)
    return float(found[0]) if found else float("nan")


def _limits(expected: str) -> tuple[float, float]:
    """The ends of what is expected, from its words: `at least`, `at most`, or `a to b`."""
    numbers = [float(n) for n in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", expected)]
    if expected.startswith("at least ") and numbers:
        return numbers[0], np.inf
    if expected.startswith("at most ") and numbers:
        return -np.inf, numbers[0]
    return (
        (numbers[0], numbers[1]) if " to " in expected and len(numbers) > 1 else (-np.inf, np.inf)
    )


def _ends(values: Points, limits: tuple[float, float]) -> tuple[float, float]:
    """Of the axis: all points, and the limits where they are not far beyond them."""
    low, high = float(values.min()), float(values.max())
    span = (high - low) or abs(high) or 1.0
    near = [x for x in limits if low - span <= x <= high + span]
    low, high = min(low, *near, high), max(high, *near, low)
    if high == low:
        low, high = low - 0.5 * span, high + 0.5 * span
    space = 0.04 * (high - low)
    return low - space, high + space


def _band(limits: tuple[float, float], low: float, high: float) -> tuple[float, float] | None:
    if not np.isfinite(limits).any():
        return None
    ends = np.clip(limits, low, high)
    first, last = MARGIN + (WIDTH - 2 * MARGIN) * (ends - low) / (high - low)
    return round(float(first), 1), round(float(last - first), 1)


def _apart(x: Points) -> Points:
    """Heights by which points in one place lie beside one another, as far as there is room."""
    taken: dict[int, int] = {}
    heights = np.empty(len(x))
    for n in np.argsort(x, kind="stable"):
        place = int(x[n] // STEP)
        count = taken[place] = taken.get(place, -1) + 1
        shift = (count % ROWS + 1) // 2 * (1 if count % 2 else -1)
        heights[n] = MIDDLE + shift * STEP
    return heights


def _distance(values: Points) -> Points:
    """From the median, in robust standard deviations; 0 where there are too few to tell."""
    away = np.abs(values - np.median(values))
    spread = 1.4826 * float(np.median(away))
    if len(values) < ENOUGH or spread == 0:
        return np.zeros(len(values))
    return np.asarray(away / spread, np.float64)


def _kind(level: Level, far: float) -> str:
    return level if level != "pass" else "far" if far > FAR else ""


def _told(kind: str) -> str:
    return "passed, but far from the other visits" if kind == "far" else kind


def _words(points: Sequence[tuple[ImageRow, Check]], values: Points, kinds: Sequence[str]) -> str:
    first, last = (points[int(n)][1].value for n in (values.argmin(), values.argmax()))
    visits = len({row.visit for row, _ in points})
    people = f"{visits} visit{'s' * (visits > 1)}"
    reach = first if first == last else f"from {first} to {last}"
    counts = [
        f"{kinds.count(kind)} {_told(kind)}" for kind in ("fail", "review", "far") if kind in kinds
    ]
    return f"{people}, {reach}; {', '.join(counts) or 'all pass'}"
