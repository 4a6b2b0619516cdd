"""Figures of the ablation study: scores and agreement with sets of sources withheld."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bids_synth.report.figures.canvas import (
    INK,
    METHODS,
    PAPER,
    QUIET,
    styled,
    svg_text,
    unit_words,
)

_METRICS = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "nmae": "mean absolute error, of range",
}
_FEW = 2


@dataclass(frozen=True, eq=False)
class AblationShown:
    """The tables of an ablation study; a set is named in `withheld` or `sources`."""

    rows: pd.DataFrame
    """Scores of every visit with the columns `target`, `withheld` and `protocol`."""
    points: pd.DataFrame
    """Per target, set and participant: `real`, `synthetic`, `mean` and `difference`."""
    numbers: pd.DataFrame
    """Per target and set: bias, limits of agreement and correlations."""
    voxels: pd.DataFrame
    """Per target and set: `real` and `synthetic` values of voxels."""
    units: Mapping[str, str]
    """Target -> unit of its values."""

    @property
    def targets(self) -> list[str]:
        """Targets from which something was withheld."""
        sets = self.points.groupby("target", sort=False)["sources"].nunique()
        return [str(target) for target in sets.index[sets >= _FEW]]


def draw_ablation(shown: AblationShown, target: str, protocol: str) -> str:
    """SVG of the scores of every visit, a box a set of sources."""
    rows = shown.rows
    rows = rows[(rows["target"] == target) & (rows["protocol"] == protocol)]
    sets = list(dict.fromkeys(rows["withheld"]))
    metrics = [m for m in _METRICS if m in rows and rows[m].notna().any()]
    with styled():
        figure = Figure(figsize=(11, 3.3), facecolor=PAPER, layout="constrained")
        places = np.atleast_1d(figure.subplots(1, max(1, len(metrics))))
        for axes, metric in zip(places, metrics, strict=False):
            values = [_known(rows.loc[rows["withheld"] == s, metric]) for s in sets]
            _boxes(axes, values)
            axes.set_xticks(range(len(sets)), [_broken(s) for s in sets])
            axes.tick_params(axis="x", length=0)
            axes.set_ylabel(_METRICS[metric])
            axes.grid(axis="y")
        return svg_text(figure)


def draw_agreement(shown: AblationShown, target: str) -> str:
    """SVG with a row a set: participants, voxels, and Bland-Altman with limits of agreement."""
    points = shown.points[shown.points["target"] == target]
    voxels = shown.voxels[shown.voxels["target"] == target]
    numbers = shown.numbers[shown.numbers["target"] == target].set_index("sources")
    sets, unit = list(dict.fromkeys(points["sources"])), unit_words(shown.units[target])
    with styled():
        figure = Figure(figsize=(11, 3.2 * len(sets)), facecolor=PAPER, layout="constrained")
        grid = figure.subplots(len(sets), 3, squeeze=False, sharex="col", sharey="col")
        ends = _ends(points[["real", "synthetic"]])
        wide = _ends(voxels[["real", "synthetic"]], trim=True)
        for name, (one, two, three) in zip(sets, grid, strict=True):
            own = points[points["sources"] == name]
            _identity(one, ends)
            one.plot(own["real"], own["synthetic"], "o", **_DOT)
            one.set_title(name, loc="left")
            one.set_ylabel(f"synthetic, {unit}")
            held = voxels[voxels["sources"] == name]
            two.hexbin(
                held["real"], held["synthetic"], gridsize=40, bins="log", cmap="Greys",
                mincnt=1, extent=(*wide, *wide), rasterized=True,
            )  # fmt: skip
            _identity(two, wide)
            _bland_altman(three, own, numbers.loc[name])
        for axes, words in zip(grid[-1], _BELOW, strict=True):
            axes.set_xlabel(f"{words}, {unit}")
        return svg_text(figure)


def agreement_lines(shown: AblationShown, target: str) -> list[list[str]]:
    """The numbers of a target as text: a line a set of sources."""
    return [
        [
            str(row["sources"]),
            str(int(row["participants"])),
            *(_text(row[c], 4) for c in ("real", "synthetic", "bias")),
            _text(row["percent_bias"], 3),
            f"{_text(row['low'], 4)} to {_text(row['high'], 4)}",
            *(_text(row[c], 3) for c in ("icc21", "pearson")),
        ]
        for row in shown.numbers[shown.numbers["target"] == target].to_dict("records")
    ]


_DOT: Mapping[str, Any] = {
    "color": METHODS["model"],
    "markersize": 5,
    "alpha": 0.85,
    "markeredgewidth": 0,
}
_BELOW = (
    "real, mean in the mask of a participant",
    "real, voxels",
    "mean of real and synthetic",
)


def _boxes(axes: Axes, values: list[Any]) -> None:
    for place, known in enumerate(values):
        if not known.size:
            continue
        low, middle, high = np.percentile(known, [25, 50, 75])
        colour = METHODS["model"] if place == 0 else QUIET
        axes.bar(place, high - low, 0.5, bottom=low, color=colour, alpha=0.25, linewidth=0)
        axes.hlines(middle, place - 0.25, place + 0.25, color=INK, linewidth=1.6)
        axes.vlines(place, known.min(), known.max(), color=colour, linewidth=1, zorder=0)
        shift = np.linspace(-0.15, 0.15, known.size) if known.size > 1 else np.zeros(1)
        axes.plot(place + shift, known, "o", color=colour, markersize=4, markeredgewidth=0)
    axes.set_xlim(-0.6, len(values) - 0.4)


def _bland_altman(axes: Axes, points: pd.DataFrame, numbers: pd.Series[Any]) -> None:
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.plot(points["mean"], points["difference"], "o", **_DOT)
    for name, style in (("bias", "-"), ("low", "--"), ("high", "--")):
        value = float(numbers[name])
        if np.isfinite(value):
            axes.axhline(value, color=METHODS["model"], linewidth=1, linestyle=style)
            axes.annotate(
                f"{value:.3g}", (1, value), xycoords=("axes fraction", "data"), fontsize=7,
                xytext=(-2, 2), textcoords="offset points", ha="right",
            )  # fmt: skip
    axes.set_ylabel("synthetic \N{MINUS SIGN} real")


def _identity(axes: Axes, ends: tuple[float, float]) -> None:
    axes.plot(ends, ends, color=QUIET, linewidth=1, linestyle="--", zorder=3)
    axes.set(xlim=ends, ylim=ends)
    axes.set_box_aspect(1)


def _ends(table: pd.DataFrame, *, trim: bool = False) -> tuple[float, float]:
    values = _known(table.stack())
    low, high = np.percentile(values, [0.5, 99.5] if trim else [0, 100])
    space = 0.06 * float(high - low) or 1.0
    return float(low) - space, float(high) + space


def _known(values: Any) -> Any:
    array = np.asarray(values, dtype=np.float64)
    return array[np.isfinite(array)]


def _broken(words: str) -> str:
    return words.replace("without ", "without\n")


def _text(value: float, digits: int) -> str:
    return "n/a" if pd.isna(value) else f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")
