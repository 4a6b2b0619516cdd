"""Simulated heads: tissues as bright as physics has them, lesions as radiologists see them."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_heads import ball
from scipy import ndimage

from training.anatomy import Anatomy
from training.scanner import Window
from training.simulation import CONTRASTS, Simulated, cropped, simulate

WINDOW = Window((56, 56, 56), 1.0)
ORDER = {
    "T1w": ("fluid", "grey", "white"),
    "T2w": ("white", "grey", "fluid"),
    "FLAIR": ("fluid", "white", "grey"),
}
"""From dark to bright: what every textbook says of the contrast."""
SEEDS = range(6)


@pytest.fixture(scope="module")
def visits() -> list[Simulated]:
    return [simulate(large(), seed, WINDOW) for seed in SEEDS]


def large() -> Anatomy:
    """The ball with thick shells, so that a blurred slice still has pure tissue."""
    known = ball()
    index = np.indices((49, 51, 53)) - np.array([24, 25, 26])[:, None, None, None]
    distance = np.sqrt((index**2).sum(0))
    structures = sum((distance < r).astype(np.uint8) for r in (25.0, 24.0, 18.0, 11.0))
    return Anatomy(known.name, structures, known.names, known.tissue, known.centre)


def middles(visit: Simulated, contrast: str) -> dict[str, float]:
    """Brightness in the middle, half way out, and outermost within the mask, without lesions."""
    inside = visit.inside & (visit.lesions < 0.05)
    centre = np.array(ndimage.center_of_mass(visit.inside))
    index = np.indices(visit.inside.shape) - centre[:, None, None, None]
    size = np.cbrt(visit.inside.sum() / (4 / 3 * np.pi))
    far = np.sqrt((index**2).sum(0)) / size
    parts = {"white": far < 0.35, "grey": (far > 0.7) & (far < 0.78), "fluid": far > 1.02}
    shown = {n: visit.images[contrast][inside & p] for n, p in parts.items()}
    return {n: float(np.median(v)) if len(v) else float("nan") for n, v in shown.items()}


@pytest.mark.parametrize("contrast", list(ORDER))
def test_tissues_are_in_the_order_of_their_contrast(visits, contrast):
    found = [middles(visit, contrast) for visit in visits]
    typical = {t: float(np.nanmedian([one[t] for one in found])) for t in found[0]}
    assert sorted(typical, key=lambda t: typical[t]) == list(ORDER[contrast])
    assert typical["white"] == pytest.approx(1.0, abs=0.1)


def test_lesions_are_bright_in_t2w_and_dark_in_t1w(visits):
    seen = 0
    for visit in visits:
        ill = visit.lesions > 0.9
        around = ndimage.binary_dilation(ill, iterations=3) & (visit.lesions < 0.02)
        if ill.sum() < 20 or not around.any():
            continue
        seen += 1
        assert np.median(visit.images["T2w"][ill]) > 1.2
        assert np.median(visit.images["T1w"][ill]) < 0.95
    assert seen >= 2


def test_the_same_seed_gives_the_same_head(visits):
    again = simulate(large(), SEEDS[0], WINDOW)
    for contrast in CONTRASTS:
        np.testing.assert_array_equal(again.images[contrast], visits[0].images[contrast])
    assert not np.array_equal(visits[0].images["T1w"], visits[1].images["T1w"])


def test_nothing_lies_outside_the_mask_and_nothing_is_lost_by_cropping(visits):
    for visit in visits:
        small = cropped(visit)
        assert small.inside.sum() == visit.inside.sum()
        for contrast in CONTRASTS:
            assert not visit.images[contrast][~visit.inside].any()
            assert np.isfinite(visit.images[contrast]).all()
            assert small.images[contrast].sum(dtype=np.float64) == pytest.approx(
                visit.images[contrast].sum(dtype=np.float64), rel=1e-6
            )
