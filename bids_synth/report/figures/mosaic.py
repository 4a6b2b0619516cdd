"""Mosaic: panels in rows and columns, on black, at one scale, with titles and colour bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from bids_synth.report.figures.canvas import LETTER, NIGHT, OUTLINE, PALE, QUIET
from bids_synth.report.figures.planes import Picture, Plane, Window

_TITLE, _GAP, _FOOT, _SIDE = 0.44, 0.3, 0.66, 0.48
_TALLEST = 4.2
"""Inches: border above, around panels for their letters, below for colour bars, at the left;
largest panel."""


@dataclass(frozen=True, eq=False)
class Shade:
    """A picture, its colours and its window."""

    picture: Picture
    """(rows, columns); NaN is not drawn."""
    window: Window
    """Values of the first and the last colour."""
    colours: str = "gray"
    """Name of a matplotlib colour map."""
    alpha: Picture | float = 1.0
    """Opacity, 0 to 1."""
    group: str | None = None
    """Id in the SVG, for animation."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One cell of a mosaic."""

    plane: Plane
    """Where it is cut."""
    shades: Sequence[Shade]
    """Pictures from back to front."""
    outline: Picture | None = None
    """A mask on the plane, whose border is drawn."""
    letters: bool = True
    """Whether the sides of the patient are written around it."""


@dataclass(frozen=True)
class Bar:
    """A colour bar under some columns of a mosaic."""

    columns: tuple[int, int]
    """First and last column that it stands for."""
    window: Window
    """Values at its ends."""
    label: str
    """What is shown, with its unit."""
    colours: str = "gray"
    """Name of a matplotlib colour map."""
    clips: Literal["neither", "max", "both"] = "neither"
    """Ends beyond which there are values: an arrow stands there."""


@dataclass(frozen=True, eq=False)
class Mosaic:
    """What `draw_mosaic` draws: every row has one panel a column."""

    rows: Sequence[Sequence[Panel]]
    """Panels; a row's height and a column's width are those of its largest."""
    titles: Sequence[str]
    """One per column."""
    title_colours: Sequence[str] = ()
    """One per column; pale where absent."""
    bars: Sequence[Bar] = ()
    """Colour bars under the columns."""
    row_titles: Sequence[str] = ()
    """One per row, drawn upright at the left."""
    width: float = 11.0
    """Inches."""
    between: float = _GAP
    """Inches between columns."""


class _Layout:
    """Where the cells of a mosaic lie, inches from the left and from the bottom."""

    def __init__(self, mosaic: Mosaic) -> None:
        heights = np.array([max(p.plane.size[1] for p in row) for row in mosaic.rows])
        columns = zip(*mosaic.rows, strict=True)
        widths = np.array([max(p.plane.size[0] for p in column) for column in columns])
        self.side = _SIDE if mosaic.row_titles else _GAP / 2
        gap = mosaic.between
        usable = mosaic.width - self.side - gap * len(widths)
        scale = min(usable / widths.sum(), _TALLEST / heights.max())
        self.widths, self.heights = widths * scale, heights * scale
        self.lefts = self.side + np.concatenate([[0], np.cumsum(self.widths + gap)])[:-1]
        foot = _FOOT if mosaic.bars else _GAP / 2
        self.width = self.side + float((self.widths + gap).sum())
        self.height = _TITLE + float((self.heights + _GAP).sum()) + foot
        self.bottoms = self.height - _TITLE - np.cumsum(self.heights + _GAP) + _GAP

    def axes(self, figure: Figure, left: float, bottom: float, across: float, up: float) -> Axes:
        """Axes at a place given in inches."""
        w, h = self.width, self.height
        return figure.add_axes((left / w, bottom / h, across / w, up / h))


def draw_mosaic(mosaic: Mosaic) -> Figure:
    """Lay the panels out so that a millimetre has the same length everywhere."""
    at = _Layout(mosaic)
    figure = Figure(figsize=(at.width, at.height), facecolor=NIGHT)
    for r, row in enumerate(mosaic.rows):
        for c, panel in enumerate(row):
            axes = at.axes(figure, at.lefts[c], at.bottoms[r], at.widths[c], at.heights[r])
            _draw_panel(axes, panel, f"{r}-{c}")
    _draw_titles(figure, mosaic, at)
    for bar in mosaic.bars:
        first, last = bar.columns
        across = at.lefts[last] + at.widths[last] - at.lefts[first]
        inset = max(0.12, (across - 2.6) / 2)
        axes = at.axes(figure, at.lefts[first] + inset, 0.36, across - 2 * inset, 0.09)
        _draw_bar(figure, bar, axes)
    return figure


def _draw_titles(figure: Figure, mosaic: Mosaic, at: _Layout) -> None:
    centre: dict[str, Any] = {"ha": "center", "va": "center"}
    for c, title in enumerate(mosaic.titles):
        colour = mosaic.title_colours[c] if mosaic.title_colours else PALE
        x, y = (at.lefts[c] + at.widths[c] / 2) / at.width, 1 - 0.14 / at.height
        figure.text(x, y, title, color=colour, fontsize=10.5, fontweight="bold", **centre)
    for r, title in enumerate(mosaic.row_titles):
        y = (at.bottoms[r] + at.heights[r] / 2) / at.height
        x = 0.16 / at.width
        figure.text(x, y, title, color=PALE, rotation=90, fontweight="bold", **centre)


def _draw_panel(axes: Axes, panel: Panel, name: str) -> None:
    axes.set_axis_off()
    for shade in panel.shades:
        image = axes.imshow(
            shade.picture, cmap=shade.colours, vmin=shade.window[0],
            vmax=shade.window[1], interpolation="none", alpha=shade.alpha,
        )  # fmt: skip
        image.set_gid(shade.group)
    if panel.outline is not None:
        mask = np.nan_to_num(panel.outline)
        if mask.min() < 0.5 < mask.max():
            axes.contour(mask, levels=[0.5], colors=[OUTLINE], linewidths=0.8, alpha=0.9)
    if panel.letters:
        _draw_letters(axes, panel.plane, name)
    low: dict[str, Any] = {"xytext": (0, -1.5), "textcoords": "offset points"}
    low |= {"color": QUIET, "fontsize": 6.5, "va": "top", "annotation_clip": False}
    axes.annotate(panel.plane.place, (0, 0), xycoords="axes fraction", **low)


def _draw_letters(axes: Axes, plane: Plane, name: str) -> None:
    """The sides of the patient around the picture, never on it."""
    places = ((0, 0.5, -6, 0), (1, 0.5, 6, 0), (0.5, 1, 0, 6), (0.5, 0, 0, -6))
    style: dict[str, Any] = {"color": PALE, "fontsize": 8, "fontweight": "bold"}
    style |= {"ha": "center", "va": "center", "textcoords": "offset points"}
    for letter, (x, y, right, up) in zip(plane.letters, places, strict=True):
        written = axes.annotate(letter, (x, y), (right, up), xycoords="axes fraction", **style)
        written.set_gid(f"{LETTER}-{name}-{letter}")


def _draw_bar(figure: Figure, bar: Bar, axes: Axes) -> None:
    colours = ScalarMappable(Normalize(*bar.window), bar.colours)
    drawn = figure.colorbar(colours, cax=axes, orientation="horizontal", extend=bar.clips)
    drawn.outline.set_visible(False)
    drawn.set_label(bar.label, color=PALE, fontsize=7.5, labelpad=1)
    axes.tick_params(colors=PALE, labelsize=7, length=2, pad=1)
    axes.locator_params(nbins=5)
