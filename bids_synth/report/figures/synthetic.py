"""Figures of a synthetic image: beside its sources and the real one, its doubt, its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bids_synth.core.synthetic import Synthetic
from bids_synth.report.figures.canvas import (
    PALE,
    PAPER,
    REAL,
    SYNTHETIC,
    save_svg,
    styled,
    unit_words,
)
from bids_synth.report.figures.mosaic import Bar, Mosaic, Panel, Shade, draw_mosaic
from bids_synth.report.figures.planes import (
    Picture,
    Plane,
    Window,
    choose_planes,
    limits,
    sample,
    span,
)
from bids_synth.spatial.volume import Volume

ARBITRARY = "arbitrary"


@dataclass(frozen=True, eq=False)
class Shown:
    """One synthetic image with what it is compared with, all in one space."""

    synthetic: Synthetic
    """The image, with the acquired one where there is one."""
    sources: Mapping[str, Volume]
    """What it was made from, by modality, on any grid."""
    mask: Volume
    """Where it is meant to be right, on its grid."""

    @cached_property
    def window(self) -> Window:
        """Values of black and white for the synthetic and the real image alike."""
        return limits(self.synthetic.real or self.synthetic.image, self.mask)

    @cached_property
    def source_windows(self) -> dict[str, Window]:
        """Values of black and white for each source."""
        return {name: limits(image, self.mask) for name, image in self.sources.items()}

    @property
    def unit(self) -> str:
        """Unit of its values, in words; whose scale it is, where that is the real scan's."""
        words = unit_words(self.synthetic.image.unit)
        matched = self.synthetic.real is not None and self.synthetic.image.unit == ARBITRARY
        return f"{words} of the real scan" if matched else words

    @property
    def doubt(self) -> str:
        """What the uncertainty is, in words."""
        interval = self.synthetic.interval
        if interval is None:
            return "spread (SD)"
        return f"half width of the {100 * interval.level:.0f} % interval"

    @cached_property
    def reach(self) -> float:
        """Largest error, or where there is no real image the largest doubt, that is drawn."""
        inside = self.mask.array > 0
        if self.synthetic.real is not None:
            error = np.abs(self.synthetic.image.array - self.synthetic.real.array)
            return span(error[inside], tail=1.0)[1]
        doubt = self.synthetic.uncertainty
        return 1.0 if doubt is None else span(doubt.array[inside])[1]


@dataclass(frozen=True, eq=False)
class _Column:
    title: str
    colour: str
    panels: Sequence[Panel]
    bar: Bar | None = None


def draw_synthetic(shown: Shown, path: Path) -> Path:
    """Sources, synthetic image and, where there is a real one, it and the signed error."""
    planes = choose_planes(shown.mask, axial=(0.58,), coronal=(0.5,), sagittal=(0.52,))
    with styled():
        figure = draw_mosaic(comparison(shown, planes))
        return save_svg(figure, path, words=f"One slice of each plane: {_words(shown)}")


def comparison(shown: Shown, planes: Sequence[Plane], *, doubt: bool = False) -> Mosaic:
    """One column an image, one row a plane; with `doubt` the uncertainty takes a last column.

    Error and uncertainty are drawn on one scale.
    """
    columns = [
        _Column(name, PALE, _gray(image, planes, shown.source_windows[name]))
        for name, image in shown.sources.items()
    ]
    first = len(columns)
    grays = _gray(shown.synthetic.image, planes, shown.window)
    columns.append(_Column(f"synthetic {shown.synthetic.modality}", SYNTHETIC, grays))
    if shown.synthetic.real is not None:
        acquired = _gray(shown.synthetic.real, planes, shown.window)
        columns.append(_Column(f"real {shown.synthetic.modality}", REAL, acquired))
    label = f"{shown.synthetic.modality}, {shown.unit}"
    bars = [Bar((first, len(columns) - 1), shown.window, label)]
    if shown.synthetic.real is not None:
        columns.append(_error(shown, shown.synthetic.real, planes))
    if doubt and shown.synthetic.uncertainty is not None:
        columns.append(_doubt(shown, shown.synthetic.uncertainty, planes, narrow=True))
    for number, column in enumerate(columns):
        if column.bar is not None:
            bars.append(replace(column.bar, columns=(number, number)))
    rows = [list(row) for row in zip(*(c.panels for c in columns), strict=True)]
    return Mosaic(rows, [c.title for c in columns], [c.colour for c in columns], bars)


def draw_uncertainty(shown: Shown, path: Path) -> Path:
    """The synthetic image, and below it half the width of the interval, or else the spread.

    On the scale of the error where that is drawn too. ValueError where neither is known.
    """
    if shown.synthetic.uncertainty is None:
        message = f"the synthetic {shown.synthetic.modality} has no uncertainty to draw"
        raise ValueError(message)
    planes = choose_planes(shown.mask, axial=(0.35, 0.5, 0.65), coronal=(0.5,), sagittal=(0.52,))
    column = _doubt(shown, shown.synthetic.uncertainty, planes)
    bars = [replace(column.bar, columns=(0, len(planes) - 1))] if column.bar else []
    rows = [_gray(shown.synthetic.image, planes, shown.window), column.panels]
    names = [f"synthetic {shown.synthetic.modality}", column.title]
    with styled():
        figure = draw_mosaic(Mosaic(rows, [p.name for p in planes], bars=bars, row_titles=names))
        words = f"Five slices of the {names[0]}, and below them {shown.doubt}"
        words += f", dark where small, bright where {shown.reach:.3g} {shown.unit} or more"
        return save_svg(figure, path, words=words)


def draw_histogram(shown: Shown, path: Path, *, training_range: Window | None = None) -> Path:
    """Values inside the mask: synthetic against real, or against those of the training visits.

    `training_range` is mean and standard deviation over the training visits in scaled numbers: it
    is drawn by the scale that the image itself has now.
    """
    low, high = shown.window
    edges = np.linspace(low - 0.1 * (high - low), high + 0.15 * (high - low), 72)
    inside = shown.mask.array > 0
    with styled():
        figure = Figure(figsize=(11, 2.2), facecolor=PAPER, layout="constrained")
        axes = figure.add_subplot()
        if training_range is not None and shown.synthetic.scale is not None:
            ends = np.array([training_range[0], sum(training_range)])
            mean, beyond = shown.synthetic.scale.invert(ends).tolist()
            sd = beyond - mean
            band: dict[str, Any] = {
                "color": "#eef1f5",
                "lw": 0,
                "label": "training visits: mean ± 2 SD",
            }
            axes.axvspan(mean - 2 * sd, mean + 2 * sd, **band)
        if shown.synthetic.real is not None:
            values = shown.synthetic.real.array[inside]
            _histogram(axes, values, edges, "#2f7fb8", f"real {shown.synthetic.modality}")
        values = shown.synthetic.image.array[inside]
        _histogram(axes, values, edges, "#e07a1f", f"synthetic {shown.synthetic.modality}")
        axes.set(xlim=(edges[0], edges[-1]), yticks=[])
        axes.set_ylim(bottom=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"value inside the mask, {shown.unit}")
        axes.legend(loc="upper right")
        words = f"Histogram of the {_values(shown, inside)}"
        return save_svg(figure, path, words=words)


def _values(shown: Shown, inside: npt.NDArray[np.bool_]) -> str:
    """Median of the images inside the mask, in words."""
    parts = [("synthetic", shown.synthetic.image), ("real", shown.synthetic.real)]
    words = [
        f"{what} {shown.synthetic.modality}: median {np.median(image.array[inside]):.3g}"
        for what, image in parts
        if image is not None and inside.any()
    ]
    return f"{', '.join(words)} {shown.unit}"


def _words(shown: Shown) -> str:
    """What the comparison shows, column by column."""
    name = shown.synthetic.modality
    columns = [*shown.sources, f"synthetic {name}"]
    if shown.synthetic.real is None:
        return f"{', '.join(columns)}"
    reach = f"{shown.reach:.3g} {shown.unit}"
    return f"{', '.join(columns)}, real {name} and the error, coloured up to {reach} either way"


def _histogram(
    axes: Axes,
    values: npt.NDArray[np.float32],
    edges: npt.NDArray[np.float64],
    colour: str,
    label: str,
) -> None:
    counts, _ = np.histogram(values, bins=edges, density=True)
    axes.stairs(counts, edges, fill=True, color=colour, alpha=0.2)
    axes.stairs(counts, edges, color=colour, linewidth=1.5, label=label)


def _gray(image: Volume, planes: Sequence[Plane], window: Window) -> list[Panel]:
    return [Panel(plane, [Shade(sample(image, plane), window)]) for plane in planes]


def _error(shown: Shown, real: Volume, planes: Sequence[Plane]) -> _Column:
    error = real.with_array(shown.synthetic.image.array - real.array)
    window = (-shown.reach, shown.reach)
    panels = [
        Panel(plane, [Shade(_inside(error, shown.mask, plane), window, "berlin")])
        for plane in planes
    ]
    label = "synthetic \N{MINUS SIGN} real"
    if shown.synthetic.image.unit != ARBITRARY:
        label += f", {shown.unit}"
    beyond = np.abs(error.array[shown.mask.array > 0]).max() > shown.reach
    bar = Bar((0, 0), window, label, "berlin", "both" if beyond else "neither")
    return _Column("error", PALE, panels, bar)


def _doubt(
    shown: Shown, values: Volume, planes: Sequence[Plane], *, narrow: bool = False
) -> _Column:
    """The column of the uncertainty; a narrow one leaves its unit to the bar of the error."""
    window = (0.0, shown.reach)
    panels = [
        Panel(plane, [Shade(_inside(values, shown.mask, plane), window, "inferno")])
        for plane in planes
    ]
    interval = shown.synthetic.interval
    title = "spread" if interval is None else "interval"
    beyond = values.array[shown.mask.array > 0].max() > shown.reach
    label = "half of the interval" if interval and narrow else shown.doubt
    label = label if narrow else f"{label}, {shown.unit}"
    bar = Bar((0, 0), window, label, "inferno", "max" if beyond else "neither")
    return _Column(title, PALE, panels, bar)


def _inside(volume: Volume, mask: Volume, plane: Plane) -> Picture:
    values = sample(volume, plane)
    values[~(sample(mask, plane) >= 0.5)] = np.nan
    return values
