"""Density: what pure tissues give, and what lies between."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_synth.core.tissue.levels import TissueLevels
from training.density import CONTRASTS, TIMES, density_image, pure_density, shares

LEVELS = {
    "T1w": TissueLevels(300.0, 220.0, 90.0),
    "T2w": TissueLevels(50.0, 70.0, 130.0),
    "FLAIR": TissueLevels(1.0, 1.1, 0.5),
}


def of_mixture(white: float, grey: float, fluid: float) -> float:
    """The PDw of one voxel of three tissues."""
    images = {
        m: np.full((1, 1, 1), white * v.white + grey * v.grey + fluid * v.fluid, np.float32)
        for m, v in LEVELS.items()
    }
    return float(density_image(images, LEVELS, np.ones((1, 1, 1), bool))[0, 0, 0])


def test_shares_are_all_mixtures() -> None:
    mixes = shares()
    assert mixes.shape == (286, len(TIMES))
    np.testing.assert_allclose(mixes.sum(axis=1), 1)
    assert len(np.unique(mixes, axis=0)) == len(mixes)


@pytest.mark.parametrize("tissue", [0, 1, 2])
def test_pure_tissue_gives_its_own_density(tissue: int) -> None:
    mixture = [float(n == tissue) for n in range(3)]
    assert of_mixture(*mixture) == pytest.approx(pure_density()[tissue], abs=0.05)


@given(st.floats(0, 1))
def test_signals_are_mixed_by_share(grey: float) -> None:
    """White and grey in one voxel: what lies between them, not beyond."""
    expected = (1 - grey) * 1 + grey * pure_density()[1]
    assert of_mixture(1 - grey, grey, 0) == pytest.approx(expected, abs=0.06)


def test_grey_matter_and_fluid_are_brighter_than_white() -> None:
    white, grey, fluid, lesion = pure_density()
    assert white == 1
    assert lesion > grey > white
    assert fluid > white
    assert tuple(LEVELS) == CONTRASTS
