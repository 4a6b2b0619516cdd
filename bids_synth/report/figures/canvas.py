"""Canvas: the look of every figure, and SVG that appears by rename."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bids_synth.spatial.volume import write_text

NIGHT, PAPER = "#000000", "#ffffff"
INK, PALE, QUIET = "#1c2430", "#e8ecf2", "#8d98a8"
SYNTHETIC, REAL, OUTLINE = "#ffb454", "#7cc7ff", "#ffd166"
METHODS: Mapping[str, str] = {
    "model": "#e07a1f",
    "start": "#c9a227",
    "copy": "#8d98a8",
    "linear": "#4a7ebb",
    "mean": "#6aa58a",
    "tissue-curve": "#3a9a8c",
    "closed-form": "#a34a97",
    "curve": "#3f9fb5",
}
STYLE: Mapping[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "bids_synth",
    "image.composite_image": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.axisbelow": True,
    "grid.color": "#e3e7ed",
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "legend.frameon": False,
}


def svg_text(figure: Figure, *, css: str = "") -> str:
    """The figure as an SVG that scales with the page; `css` is put into it.

    The XML declaration shares its line with the root element because NiReports rewrites
    files in which the element begins a line.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(
        buffer, format="svg", dpi=100, metadata=nothing, facecolor=figure.get_facecolor()
    )
    text = buffer.getvalue()
    text = text[text.index("<svg ") :]
    head, body = text.split(">", 1)
    head = re.sub(r' (width|height)="[^"]*"', "", head)
    style = f"<style>{css}</style>" if css else ""
    return f'<?xml version="1.0" encoding="utf-8"?>{head}>{style}{body}'


def save_svg(figure: Figure, path: Path, *, css: str = "") -> Path:
    """Write a figure by rename."""
    return write_text(svg_text(figure, css=css), path)


def styled() -> Any:
    """A context in which figures have the report's look: `with styled(): ...`."""
    return mpl.rc_context(dict(STYLE))


def unit_words(unit: str) -> str:
    """How a unit is written beside a picture.

    >>> unit_words("arbitrary"), unit_words("HU")
    ('arbitrary units', 'HU')
    """
    return "arbitrary units" if unit == "arbitrary" else unit
