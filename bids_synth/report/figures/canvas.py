"""Canvas: the look of every figure, and SVG that appears by rename."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

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
_PNG = "data:image/png;base64,"
_EMBEDDED = re.compile(rf"{_PNG}\s*([A-Za-z0-9+/=\s]+)")
LETTER = "end"
"""How the ids of letters for the sides of a patient begin: they get an outline."""
_OUTLINED = f"""
[id^="{LETTER}-"] text {{
  paint-order: stroke; stroke: {NIGHT}; stroke-width: 2.5px; stroke-linejoin: round
}}
"""
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


def svg_text(figure: Figure, *, css: str = "", words: str = "") -> str:
    """The figure as an SVG that scales with the page; `css` is put into it.

    `words` say what is seen to those who do not see it.

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
    if words:
        head += f' role="img" aria-label="{html.escape(words)}"'
    css += _OUTLINED if f'id="{LETTER}-' in body else ""
    style = f"<style>{css}</style>" if css else ""
    body = _EMBEDDED.sub(lambda found: _smaller(found[1]), body)
    return f'<?xml version="1.0" encoding="utf-8"?>{head}>{style}{body}'


def _smaller(picture: str) -> str:
    """The same pixels with one byte each, where they are grey or of one colour map."""
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        whole = image.convert("RGBA")
    pixels, colours = np.asarray(whole), whole.getcolors(256)
    if not colours or (pixels[..., 3] < 255).any():
        return f"{_PNG}{picture}"
    plain = Image.fromarray(pixels[..., :3])
    grey = (pixels[..., :1] == pixels[..., 1:3]).all()
    one = plain.convert("L") if grey else plain.quantize(len(colours), dither=Image.Dither.NONE)
    if not np.array_equal(np.asarray(one.convert("RGB")), pixels[..., :3]):
        return f"{_PNG}{picture}"
    buffer = io.BytesIO()
    one.save(buffer, "PNG", optimize=True)
    return _PNG + base64.b64encode(buffer.getvalue()).decode("ascii")


def save_svg(
    figure: Figure, path: Path, *, words: str = "", css: str = "", focusable: bool = False
) -> Path:
    """Write a figure by rename, with what is seen in words; the Tab key finds a focusable one."""
    text = svg_text(figure, css=css, words=words)
    if focusable:
        text = text.replace("<svg ", '<svg tabindex="0" ', 1)
    return write_text(text, path)


def styled() -> Any:
    """A context in which figures have the report's look: `with styled(): ...`."""
    return mpl.rc_context(dict(STYLE))


def unit_words(unit: str) -> str:
    """How a unit is written beside a picture.

    >>> unit_words("arbitrary"), unit_words("HU")
    ('arbitrary units', 'HU')
    """
    return "arbitrary units" if unit == "arbitrary" else unit
