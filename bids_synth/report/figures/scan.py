"""Figures of what was acquired: the scans with the mask, and their registration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bids_synth.report.figures.canvas import PALE, save_svg, styled
from bids_synth.report.figures.mosaic import Mosaic, Panel, Shade, draw_mosaic
from bids_synth.report.figures.planes import choose_planes, limits, sample
from bids_synth.spatial.volume import Volume

FLICKER = """
@keyframes flicker { 0%, 45% { opacity: 1 } 55%, 100% { opacity: 0 } }
@keyframes answer { 0%, 45% { opacity: 0 } 55%, 100% { opacity: 1 } }
[id^="front"] { animation: flicker 0.9s alternate infinite paused }
#back-title { opacity: 0; animation: answer 0.9s alternate infinite paused }
svg:hover [id^="front"], svg:hover #back-title { animation-play-state: running }
@media (hover: none) {
  [id^="front"], #back-title { animation-play-state: running }
}
"""


def draw_scans(images: Mapping[str, Volume], mask: Volume, path: Path) -> Path:
    """Every scan of a visit in five planes with the outline of the mask.

    `images` by modality and `mask` lie in one space; grids may differ.
    """
    planes = choose_planes(
        mask, axial=(0.3, 0.5, 0.68), coronal=(0.45,), sagittal=(0.52,), margin=10
    )
    rows = []
    for image in images.values():
        window = limits(image, mask)
        shades = [[Shade(sample(image, plane), window)] for plane in planes]
        rows.append([Panel(p, s, sample(mask, p)) for p, s in zip(planes, shades, strict=True)])
    titles = [plane.name for plane in planes]
    with styled():
        return save_svg(draw_mosaic(Mosaic(rows, titles, row_titles=list(images))), path)


def draw_flicker(
    reference: tuple[str, Volume], moving: tuple[str, Volume], mask: Volume, path: Path
) -> Path:
    """A registered scan over its reference; pointing at the picture alternates the two.

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
        return save_svg(figure, path, css=FLICKER)
