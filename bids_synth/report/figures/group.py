"""Figures of a model: every score beside the baselines, and the curves of fitting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bids_synth.report.figures.canvas import INK, METHODS, PAPER, QUIET, styled, svg_text

_SCORES = {"psnr": "PSNR, dB", "ssim": "SSIM"}
_CURVES = {
    "loss": "loss",
    "score": "validation score, dB",
    "validation_score": "validation score, dB",
    "discriminator_loss": "loss of the discriminator",
    "discriminator_accuracy": "accuracy of the discriminator",
}
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Marks that tell methods apart without their colours, in the order of the methods."""
DASHES = ("-", "--", "-.", ":")
LEAST_SPAN = 0.1
"""Least height, dB, of what the axis of a validation score shows."""
_LINES = ("#1f5fa8", "#e07a1f", "#2f8f5b", "#a34a97", "#8a6d1c", "#4d5a6b")


def draw_scores(rows: pd.DataFrame) -> str:
    """SVG of PSNR and SSIM of every scored visit: a strip and a box per target and method."""
    with styled():
        figure = Figure(figsize=(11, 3.4), facecolor=PAPER, layout="constrained")
        for axes, metric in zip(figure.subplots(1, len(_SCORES)), _SCORES, strict=True):
            _strip(axes, rows, metric)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return svg_text(figure)


def draw_curves(training: pd.DataFrame) -> str:
    """SVG of loss and validation score against steps, one line a fold and member.

    Needs columns `step` and `loss`; `fold`, `member`, `score` (or `validation_score`) and the
    figures of a discriminator are used where they are there.
    """
    by = [c for c in ("fold", "member") if c in training]
    networks = [((), training)] if not by else list(training.groupby(by))
    panels = [c for c in _CURVES if c in training and training[c].notna().any()]
    rows = (len(panels) + 1) // 2
    with styled():
        figure = Figure(figsize=(11, 3.2 * rows), facecolor=PAPER, layout="constrained")
        places = np.atleast_1d(figure.subplots(rows, min(2, len(panels)))).ravel()
        for axes, column in zip(places, panels, strict=False):
            for number, (key, part) in enumerate(networks):
                best = "max" if "score" in column else None
                _curve(axes, part.sort_values("step"), column, _label(by, key), number, best)
            axes.set(xlabel="step", ylabel=_CURVES[column])
            axes.ticklabel_format(axis="y", useOffset=False)
            axes.grid(axis="y")
            if "score" in column:
                _widen(axes)
            if column == "discriminator_accuracy":
                axes.axhline(0.5, color=QUIET, linewidth=1, linestyle="--")
                axes.set_ylim(-0.02, 1.02)
        for axes in places[len(panels) :]:
            axes.remove()
        if 1 < len(networks) <= len(_LINES):
            figure.axes[0].legend(loc="upper right")
        return svg_text(figure)


def _widen(axes: Axes) -> None:
    """No scale so fine that changes which mean nothing look like leaps."""
    low, high = axes.get_ylim()
    if high - low < LEAST_SPAN:
        middle = (low + high) / 2
        axes.set_ylim(middle - LEAST_SPAN / 2, middle + LEAST_SPAN / 2)


def _label(by: Sequence[str], key: Any) -> str:
    return ", ".join(f"{name} {int(value)}" for name, value in zip(by, key, strict=False))


def _curve(
    axes: Axes, part: pd.DataFrame, column: str, label: str, number: int, best: str | None
) -> None:
    colour = _LINES[number % len(_LINES)]
    known = part[np.isfinite(part[column].astype(float))]
    dashes = DASHES[number % len(DASHES)]
    axes.plot(known["step"], known[column], dashes, color=colour, linewidth=1.4, label=label)
    if len(known) == 1 or (best and len(known)):
        row = known.loc[known[column].idxmax()]
        shape = SHAPES[number % len(SHAPES)]
        axes.plot([row["step"]], [row[column]], shape, color=colour, markersize=5)


def _strip(axes: Axes, rows: pd.DataFrame, metric: str) -> None:
    methods = [m for m in METHODS if m in set(rows["method"])]
    methods += sorted(set(rows["method"]) - set(methods))
    targets = list(dict.fromkeys(rows["target"]))
    width, named = 0.8 / len(methods), set()
    for m, method in enumerate(methods):
        colour = METHODS.get(method, QUIET)
        for t, target in enumerate(targets):
            chosen = rows[(rows["method"] == method) & (rows["target"] == target)]
            values = chosen[metric].astype(float).to_numpy()
            values = values[np.isfinite(values)]
            place = t - 0.4 + width * (m + 0.5)
            if values.size:
                look = (colour, SHAPES[m % len(SHAPES)])
                _box(axes, values, place, width, look, None if method in named else method)
                named.add(method)
    axes.set_xticks(range(len(targets)), targets)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel(_SCORES[metric])
    axes.set_xlim(-0.5, len(targets) - 0.5)
    axes.grid(axis="y")


def _box(
    axes: Axes,
    values: Any,
    place: float,
    width: float,
    look: tuple[str, str],
    label: str | None,
) -> None:
    colour, shape = look
    low, high = np.percentile(values, [25, 75])
    half = width * 0.38
    axes.bar(place, high - low, 2 * half, bottom=low, color=colour, alpha=0.18, linewidth=0)
    axes.hlines(values.mean(), place - half, place + half, color=INK, linewidth=1.6)
    shift = np.linspace(-0.5, 0.5, values.size) if values.size > 1 else np.zeros(1)
    order = np.argsort(np.argsort(np.sin(np.arange(values.size) * 12.9898)))
    jitter = shift[order] * width * 0.5
    axes.plot(
        place + jitter, values, shape, color=colour, markersize=4, alpha=0.85,
        markeredgewidth=0, label=label,
    )  # fmt: skip
