"""Figures of a synthetic image: beside its sources and the real one, its doubt, its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, eq=False)
class Shown:
    """One synthetic image with what it is compared with, all in one space."""

    synthetic: Synthetic
    """The image, with the acquired one where there is one."""
    sources: Mapping[str, Volume]
    """What it was made from, by modality, on any grid."""
    mask: Volume
    """Where it is meant to be right, on its grid."""

    @property
    def window(self) -> Window:
        """Values of black and white for the synthetic and the real image alike."""
        return limits(self.synthetic.real or self.synthetic.image, self.mask)

    @property
    def unit(self) -> str:
        """Unit of its values, in words."""
        return unit_words(self.synthetic.image.unit)


@dataclass(frozen=True, eq=False)
class _Column:
    title: str
    colour: str
    panels: Sequence[Panel]
    bar: tuple[Window, str, str] | None = None


def draw_synthetic(shown: Shown, path: Path) -> Path:
    """Sources, synthetic image and, where there is a real one, it and the signed error."""
    planes = choose_planes(shown.mask, axial=(0.58,), coronal=(0.5,), sagittal=(0.52,))
    with styled():
        return save_svg(draw_mosaic(comparison(shown, planes)), path)


def comparison(shown: Shown, planes: Sequence[Plane], *, doubt: bool = False) -> Mosaic:
    """One column an image, one row a plane; with `doubt` the spread takes a last column."""
    columns = [
        _Column(name, PALE, _gray(image, planes, limits(image, shown.mask)))
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
    if doubt and shown.synthetic.spread is not None:
        columns.append(_doubt(shown, shown.synthetic.spread, planes))
    for number, column in enumerate(columns):
        if column.bar is not None:
            bars.append(Bar((number, number), *column.bar))
    rows = [list(row) for row in zip(*(c.panels for c in columns), strict=True)]
    return Mosaic(rows, [c.title for c in columns], [c.colour for c in columns], bars)


def draw_spread(shown: Shown, path: Path) -> Path:
    """The spread over the networks, laid over the synthetic image.

    ValueError where there is a single network.
    """
    if shown.synthetic.spread is None:
        message = f"the synthetic {shown.synthetic.modality} has no spread to draw"
        raise ValueError(message)
    planes = choose_planes(shown.mask, axial=(0.35, 0.5, 0.65), coronal=(0.5,), sagittal=(0.52,))
    column = _doubt(shown, shown.synthetic.spread, planes)
    bars = [Bar((0, len(planes) - 1), *column.bar)] if column.bar else []
    mosaic = Mosaic([column.panels], [p.name for p in planes], bars=bars)
    with styled():
        return save_svg(draw_mosaic(mosaic), path)


def draw_histogram(shown: Shown, path: Path, *, training_range: Window | None = None) -> Path:
    """Values inside the mask: synthetic against real, or against those of the training visits.

    `training_range` is mean and standard deviation over the training visits, in the image's unit.
    """
    low, high = shown.window
    edges = np.linspace(low - 0.1 * (high - low), high + 0.15 * (high - low), 72)
    inside = shown.mask.array > 0
    with styled():
        figure = Figure(figsize=(11, 2.2), facecolor=PAPER, layout="constrained")
        axes = figure.add_subplot()
        if training_range is not None:
            mean, sd = training_range
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
        return save_svg(figure, path)


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
    reach = span(np.abs(error.array[shown.mask.array > 0]), tail=1.0)[1]
    window = (-reach, reach)
    panels = [
        Panel(plane, [Shade(_inside(error, shown.mask, plane), window, "berlin")])
        for plane in planes
    ]
    label = f"synthetic \N{MINUS SIGN} real, {shown.unit}"
    return _Column("error", PALE, panels, (window, label, "berlin"))


def _doubt(shown: Shown, spread: Volume, planes: Sequence[Plane]) -> _Column:
    window = (0.0, span(spread.array[shown.mask.array > 0])[1])
    panels = []
    for plane in planes:
        doubt = _inside(spread, shown.mask, plane)
        share = np.nan_to_num(np.clip(doubt / window[1], 0, 1))
        under = Shade(sample(shown.synthetic.image, plane), shown.window)
        over = Shade(doubt, window, "inferno", (0.85 * share**0.8).astype(np.float32))
        panels.append(Panel(plane, [under, over]))
    label = f"spread (SD), {shown.unit}"
    return _Column("spread", PALE, panels, (window, label, "inferno"))


def _inside(volume: Volume, mask: Volume, plane: Plane) -> Picture:
    values = sample(volume, plane)
    values[~(sample(mask, plane) >= 0.5)] = np.nan
    return values
