"""Figures of trust: error against strangeness, and what intervals hold where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bids_synth.report.figures.canvas import INK, PAPER, QUIET, styled, svg_text

COLOURS = ("#1f5fa8", "#e07a1f", "#2f8f5b", "#a34a97", "#8a6d1c", "#4d5a6b")
MARKS = {"pass": "o", "review": "s", "fail": "X"}
"""Shapes of verdicts."""
SHAPES = ("o", "^", "D", "v", "P", "s")
"""Shapes of targets, where verdicts have none."""
FILLS: tuple[Any, ...] = ("full", "none", "left", "top", "right", "bottom")
"""Fillings of targets, where verdicts have the shapes."""
ERROR = {"nmae": "mean absolute error, fraction of the range", "mae": "mean absolute error"}
"""Metric -> words, in the order of preference."""
HELD = (0.85, 0.95)
"""Coverage that is close to what was meant."""


def draw_strangeness(rows: pd.DataFrame, limits: tuple[float, float] | None) -> str:
    """SVG of the error of the model against the strangeness of each scored visit.

    `rows` are those of one protocol; `limits` of review and fail, where they were fitted. Empty
    where no image has both numbers.
    """
    own = rows[rows["method"] == "model"]
    metric = next((m for m in ERROR if m in own and own[m].notna().any()), None)
    if metric is None or "strangeness" not in own:
        return ""
    own = own[own["strangeness"].notna() & own[metric].notna()]
    if own.empty:
        return ""
    with styled():
        figure = Figure(figsize=(11, 3.6), facecolor=PAPER, layout="constrained")
        axes = figure.add_subplot()
        for number, (target, part) in enumerate(own.groupby("target", sort=False)):
            colour = COLOURS[number % len(COLOURS)]
            for level, mark in MARKS.items():
                chosen = part[part["verdict"] == level]
                label = f"{target}, {level}" if len(chosen) else None
                axes.plot(
                    chosen["strangeness"], chosen[metric], mark, color=colour, alpha=0.8,
                    markersize=6, markeredgewidth=1, label=label,
                    fillstyle=FILLS[number % len(FILLS)], markerfacecoloralt=PAPER,
                )  # fmt: skip
        for limit, words in zip(limits or (), ("review", "fail"), strict=False):
            axes.axvline(limit, color=QUIET, linewidth=1, linestyle="--")
            axes.annotate(
                words, (limit, 1), xycoords=("data", "axes fraction"), xytext=(3, -3),
                textcoords="offset points", va="top", fontsize=8, color=QUIET,
            )  # fmt: skip
        axes.set_xlabel("largest deviation from what taught, standard deviations")
        axes.set_ylabel(ERROR[metric])
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid()
        figure.legend(loc="outside right upper")
        return svg_text(figure)


def draw_coverage(coverage: pd.DataFrame, level: float) -> str:
    """SVG of what intervals hold, one dot an image, a group of dots a region; empty for none."""
    if coverage.empty:
        return ""
    regions = list(dict.fromkeys(coverage["region"]))
    targets = list(dict.fromkeys(coverage["target"]))
    with styled():
        figure = Figure(figsize=(11, 3.2), facecolor=PAPER, layout="constrained")
        axes = figure.add_subplot()
        axes.axhspan(*HELD, color="#eef1f5", lw=0)
        axes.axhline(level, color=INK, linewidth=1, linestyle="--")
        width = 0.8 / len(targets)
        for number, target in enumerate(targets):
            for place, region in enumerate(regions):
                own = coverage[(coverage["target"] == target) & (coverage["region"] == region)]
                at = place - 0.4 + width * (number + 0.5)
                shift = np.linspace(-0.3, 0.3, len(own)) * width if len(own) > 1 else 0.0
                axes.plot(
                    at + shift, own["coverage"], SHAPES[number % len(SHAPES)],
                    color=COLOURS[number % len(COLOURS)],
                    markersize=4, alpha=0.8, markeredgewidth=0,
                    label=str(target) if not place else None,
                )  # fmt: skip
        axes.set_xticks(range(len(regions)), regions)
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel("share that the interval holds")
        axes.set_ylim(min(0.6, float(coverage["coverage"].min()) - 0.02), 1.005)
        figure.legend(loc="outside right upper")
        return svg_text(figure)
