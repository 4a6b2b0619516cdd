"""Opening: the picture with which the README begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from benchmarks.real.measures import truth
from benchmarks.real.parts import RECIPE, Bench
from benchmarks.real.people import prepare
from bids_synth.measure.protocols.affine_free import best_affine

PERSON, STUDY = "stroke01", "stroke"
LINE = "any-contrast"
PLANES = ((2, 0.52), (1, 0.42))
"""Axis and place along it of every row."""
ENDS = (0.5, 99.7)


def opening(bench: Bench, path: Path) -> None:
    """T1w, and T2w and FLAIR made of it beside the real ones, in two planes."""
    person = prepare(bench.dataset, bench.out, RECIPE)[PERSON]
    mask = person.mask_image.array > 0
    columns = [("T1w: acquired", truth(person, "T1w").array)]
    for target in ("T2w", "FLAIR"):
        real = truth(person, target).array
        made = best_affine(real, bench.image(LINE, STUDY, PERSON, f"T1w>{target}"), mask)
        columns += [(f"{target}: synthetic", made), (f"{target}: acquired", real)]
    figure = Figure(figsize=(12, 5.2), facecolor="black", layout="constrained")
    panels = figure.subplots(len(PLANES), len(columns))
    for n, (name, image) in enumerate(columns):
        real = columns[n + 1][1] if "synthetic" in name else image
        ends = _ends(real, mask)
        for row, (axis, place) in enumerate(PLANES):
            shown = np.take(image * mask, int(place * image.shape[axis]), axis)
            panels[row, n].imshow(np.rot90(shown), cmap="gray", vmin=ends[0], vmax=ends[1])
            panels[row, n].axis("off")
        panels[0, n].set_title(name, color="white", fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80, pil_kwargs={"quality": 88})


def _ends(image: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_]) -> tuple[float, float]:
    low, high = np.percentile(image[mask], ENDS)
    return float(low), float(high)
