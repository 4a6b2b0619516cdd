"""Figures of one image in many slices, and of the registration of a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bids_synth.report.figures.canvas import PALE, save_svg, styled, unit_words
from bids_synth.report.figures.mosaic import Bar, Mosaic, Panel, Shade, draw_mosaic
from bids_synth.report.figures.planes import Window, choose_planes, limits, sample
from bids_synth.spatial.volume import Volume

SLICES = 7
"""In a row of a mosaic."""
FLICKER = """
@keyframes flicker { 0%, 45% { opacity: 1 } 55%, 100% { opacity: 0 } }
@keyframes answer { 0%, 45% { opacity: 0 } 55%, 100% { opacity: 1 } }
[id^="front"] { animation: flicker 0.9s alternate infinite paused }
#back-title { opacity: 0; animation: answer 0.9s alternate infinite paused }
:is(svg:hover, svg:focus) :is([id^="front"], #back-title) { animation-play-state: running }
svg:focus-visible { outline: 3px solid #7cc7ff; outline-offset: -3px }
@media (hover: none) {
  [id^="front"], #back-title { animation-play-state: running }
}
@media (prefers-reduced-motion: reduce) {
  [id^="front"], #back-title { animation: none }
  :is(svg:hover, svg:focus) [id^="front"] { opacity: 0 }
  :is(svg:hover, svg:focus) #back-title { opacity: 1 }
}
"""


def draw_slices(
    name: str, image: Volume, mask: Volume, path: Path, *, colour: str = PALE, outline: bool = True
) -> Path:
    """An image in seven slices of each of three planes, with the outline of the mask if wanted.

    Image and mask lie in one space; grids may differ. Windowed over what is inside the mask.
    """
    window = limits(image, mask)
    planes = choose_planes(
        mask, axial=_spread(0.08, 0.93), coronal=_spread(0.1, 0.9), sagittal=_spread(0.1, 0.9),
        margin=8, finest=1.2,
    )  # fmt: skip
    panels = [
        Panel(
            plane,
            [Shade(sample(image, plane), window)],
            sample(mask, plane) if outline else None,
            letters=number % SLICES == 0,
        )
        for number, plane in enumerate(planes)
    ]
    rows = [panels[start : start + SLICES] for start in range(0, len(panels), SLICES)]
    titles = [""] * SLICES
    titles[SLICES // 2] = name
    bar = Bar((0, SLICES - 1), window, f"{name}, {unit_words(image.unit)}")
    names = [row[0].plane.name for row in rows]
    mosaic = Mosaic(rows, titles, [colour] * SLICES, [bar], names, between=0.16)
    words = f"{name} in {SLICES} axial, {SLICES} coronal and {SLICES} sagittal slices"
    words += ", the outline of the mask in yellow" if outline else ""
    with styled():
        return save_svg(draw_mosaic(mosaic), path, words=f"{words}, {_grey(window, image.unit)}")


def _grey(window: Window, unit: str) -> str:
    low, high = (f"{end:.3g}" for end in window)
    return f"black is {low} and white {high} {unit_words(unit)}"


def _spread(first: float, last: float) -> tuple[float, ...]:
    return tuple(np.linspace(first, last, SLICES).tolist())


def draw_flicker(
    reference: tuple[str, Volume], moving: tuple[str, Volume], mask: Volume, path: Path
) -> Path:
    """A registered scan in turns with its reference, while one points at the picture.

    Both are (modality, image) in the space of the reference.
    """
    planes = choose_planes(mask, axial=(0.35, 0.58), coronal=(0.5,), sagittal=(0.52,), margin=10)
    back, front = limits(reference[1], mask), limits(moving[1], mask)
    row = []
    for number, plane in enumerate(planes):
        under = Shade(sample(reference[1], plane), back)
        over = Shade(sample(moving[1], plane), front, group=f"front-{number}")
        row.append(Panel(plane, [under, over], sample(mask, plane)))
    titles = {
        "front-title": f"{moving[0]}, registered",
        "back-title": f"{reference[0]}, reference",
    }
    with styled():
        figure = draw_mosaic(Mosaic([row], [""] * len(planes)))
        top: dict[str, Any] = {
            "ha": "center",
            "va": "top",
            "fontsize": 10.5,
            "color": PALE,
            "weight": "bold",
        }
        for group, title in titles.items():
            figure.text(0.5, 0.975, title, gid=group, **top)
        words = (
            f"Four slices in which the registered {moving[0]} and its reference, the "
            f"{reference[0]}, take turns while one points at them"
        )
        return save_svg(figure, path, words=words, css=FLICKER, focusable=True)
