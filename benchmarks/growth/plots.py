"""Plots of growth: small SVG files with text as text, readable on light and on dark pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.growth.curve import Curve

GREY = "#808080"
"""Of axes and letters: as far from white as from black."""
COLOURS = ("#3987e5", "#d95926", "#199e70", "#c98500", "#9085e9", "#d55181", "#008300")
MARKS = "os^Dvp*"
FEW_DECADES = 100.0
"""Ratio of seconds below which the axis names more of them than powers of ten."""


def draw(curves: Sequence[Curve], path: Path) -> Path:
    """Processor seconds against size, in logarithms, a line a curve; the same bytes each time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plain = {"svg.fonttype": "none", "svg.hashsalt": "growth", "font.family": "sans-serif"}
    grey = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), GREY)
    with mpl.rc_context({**plain, **grey, "axes.edgecolor": GREY, "font.size": 10}):
        figure, axes = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
        for curve, colour, mark in zip(curves, COLOURS, MARKS, strict=False):
            sizes = [point.size for point in curve.points]
            seconds = [point.seconds for point in curve.points]
            axes.plot(sizes, seconds, color=colour, marker=mark, lw=2, ms=6, label=curve.name)
        _axes(axes, curves)
        figure.legend(loc="outside right upper", frameon=False, fontsize=9)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    path.write_text(_lean(path.read_text("utf-8"), [curve.name for curve in curves]), "utf-8")
    return path


def _axes(axes: object, curves: Sequence[Curve]) -> None:
    from matplotlib.axes import Axes
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    assert isinstance(axes, Axes)
    plain = FuncFormatter(lambda value, _: f"{value:,.10g}")
    wide = max(p.size for c in curves for p in c.points) > 10
    if wide:
        axes.set_xscale("log")
    else:
        axes.set_xticks(sorted({p.size for c in curves for p in c.points}))
    axes.set_yscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(plain)
    seconds = [p.seconds for c in curves for p in c.points]
    if max(seconds) < FEW_DECADES * min(seconds):
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(curves[0].of)
    axes.set_ylabel("processor time, s")
    axes.grid(color=GREY, alpha=0.25, lw=0.8)
    axes.spines[["top", "right"]].set_visible(False)


def _lean(svg: str, names: Sequence[str]) -> str:
    """A picture that names what it shows, scales with its page and takes the page's letters."""
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    title = f"<title>Processor time: {'; '.join(names)}</title>"
    return re.sub(r"(<svg [^>]*>)", rf"\1\n {title}", svg, count=1)
