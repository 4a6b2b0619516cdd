"""Figures of a search: what was tried when, what mattered, and where the best values lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.tri import Triangulation

from bids_synth.report.figures.canvas import INK, METHODS, PAPER, QUIET, save_svg, styled

_COLOUR = METHODS["model"]


def write_tune_figures(
    rows: pd.DataFrame,
    importance: Mapping[str, float],
    folder: Path,
    *,
    choices: Mapping[str, Sequence[Any]],
    logs: Sequence[str] = (),
) -> list[Path]:
    """Write `history.svg` and, where there are trials enough, `importance.svg`, `contour.svg`.

    `rows` has columns trial, state, score and one for every key; `importance` is key -> share;
    `choices` has the values of keys without an order, `logs` the keys on a logarithmic axis.
    The contour is drawn over the two most important keys.
    """
    with styled():
        done = rows[rows["score"].notna()] if len(rows) else rows
        paths = [save_svg(_history(rows, done), folder / "history.svg")] if len(done) else []
        if importance:
            paths.append(save_svg(_importance(importance), folder / "importance.svg"))
        pair = sorted(importance, key=lambda key: -importance[key])[:2]
        if len(pair) == 2 and len(done) >= 4:
            figure = _contour(done, pair[0], pair[1], choices, logs)
            paths.append(save_svg(figure, folder / "contour.svg"))
    return paths


def _history(rows: pd.DataFrame, done: pd.DataFrame) -> Figure:
    figure, axes = _blank(8, 3)
    axes.plot(done["trial"], done["score"], "o", color=_COLOUR, markersize=5, label="complete")
    best = done["score"].astype(float).cummax()
    axes.step(done["trial"], best, where="post", color=INK, linewidth=1.2, label="best so far")
    floor = float(done["score"].min())
    stopped = rows.loc[rows["state"] == "pruned", "trial"]
    if len(stopped):
        level = np.full(len(stopped), floor)
        axes.plot(stopped, level, "x", color=QUIET, label="stopped early")
    axes.set(xlabel="trial", ylabel="validation score")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _importance(importance: Mapping[str, float]) -> Figure:
    figure, axes = _blank(6, 0.8 + 0.4 * len(importance))
    keys = sorted(importance, key=lambda key: importance[key])
    axes.barh(keys, [importance[key] for key in keys], color=_COLOUR)
    axes.set(xlabel="importance, share of the effect on the score", xlim=(0, 1))
    return figure


def _contour(
    done: pd.DataFrame,
    first: str,
    second: str,
    choices: Mapping[str, Sequence[Any]],
    logs: Sequence[str],
) -> Figure:
    figure, axes = _blank(6, 4.5)
    x, y = (_places(done, key, choices) for key in (first, second))
    score = done["score"].astype(float).to_numpy()
    flat = [np.log(v) if key in logs else v for key, v in ((first, x), (second, y))]
    if np.linalg.matrix_rank(np.stack([np.ones_like(x), *flat])) == 3:
        # Triangles of near neighbours as the axes show them, on each its own length.
        triangles = Triangulation(*(v / np.ptp(v) for v in flat)).triangles
        axes.tricontourf(x, y, triangles, score, levels=10, cmap="cividis", alpha=0.8)
    dots = axes.scatter(x, y, c=score, cmap="cividis", edgecolors=INK, linewidths=0.6, zorder=3)
    figure.colorbar(dots, ax=axes, label="validation score")
    top = int(score.argmax())
    axes.plot(x[top], y[top], "*", color=_COLOUR, markersize=15, zorder=4)
    for axis, key, named in ((axes.xaxis, first, "x"), (axes.yaxis, second, "y")):
        axis.set_label_text(key)
        if key in choices:
            axis.set_ticks(range(len(choices[key])), [str(c) for c in choices[key]])
        elif key in logs:
            axes.set(**{f"{named}scale": "log"})
    axes.use_sticky_edges = False
    axes.margins(0.08)
    return figure


def _places(
    done: pd.DataFrame, key: str, choices: Mapping[str, Sequence[Any]]
) -> npt.NDArray[np.float64]:
    if key not in choices:
        return np.asarray(done[key], dtype=np.float64)
    order = {repr(_plain(choice)): place for place, choice in enumerate(choices[key])}
    return np.array([order[repr(_plain(value))] for value in done[key]], dtype=np.float64)


def _plain(value: Any) -> Any:
    """A value as JSON gave it: no tuples, no NumPy scalars."""
    if isinstance(value, np.generic):
        return value.item()
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _blank(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), facecolor=PAPER, layout="constrained")
    return figure, figure.subplots()
