"""Distances of features against closed forms, scipy's matrix root and torch's arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from bids_synth.measure.features import (
    frechet_distance,
    frechet_of_moments,
    perceptual_distance,
    square_root,
)

RNG = np.random.default_rng(6)


def test_a_shift_costs_its_square_and_a_gain_the_spread():
    rows = RNG.normal(size=(50, 4))
    move = np.array([1.0, -2, 0, 3])
    assert frechet_distance(rows, rows) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(rows, rows + move) == pytest.approx(14)
    stretched = rows.mean(axis=0) + 3 * (rows - rows.mean(axis=0))
    assert frechet_distance(rows, stretched) == pytest.approx(4 * rows.var(axis=0, ddof=1).sum())


def test_gaussians_with_one_axis_system_have_the_closed_form():
    one, other = np.array([1.0, 4.0, 9.0]), np.array([4.0, 0.0, 1.0])
    turn = linalg.qr(RNG.normal(size=(3, 3)))[0]
    found = frechet_of_moments(
        np.zeros(3), turn @ np.diag(one) @ turn.T, np.ones(3), turn @ np.diag(other) @ turn.T
    )
    assert found == pytest.approx(3 + ((np.sqrt(one) - np.sqrt(other)) ** 2).sum())


def test_any_gaussians_agree_with_scipys_root_of_the_product():
    a, b = RNG.normal(size=(2, 60, 6)) @ RNG.normal(size=(2, 6, 6))
    c, d = np.cov(a.T), np.cov(b.T)
    root = linalg.sqrtm(c @ d).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(c + d - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    np.testing.assert_allclose(square_root(c), linalg.sqrtm(c).real, atol=1e-9)


def test_fewer_rows_than_features_are_no_trouble():
    """Rank-deficient covariances: the same numbers as of the few directions that vary."""
    one, other = RNG.normal(size=(2, 5, 3))
    wide = linalg.qr(RNG.normal(size=(80, 3)), mode="economic")[0]
    found = frechet_distance(one @ wide.T, other @ wide.T)
    assert found == pytest.approx(frechet_distance(one, other), rel=1e-5)
    same = one @ wide.T * 1e3
    assert frechet_distance(same, same) == pytest.approx(0, abs=1e-3)


def test_features_that_cannot_be_compared_are_refused():
    rows = RNG.normal(size=(5, 3))
    for wrong, words in (
        (rows[:1], "two rows"), (rows[0], "two rows"), (rows[:, :2], "one network"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            frechet_distance(rows, wrong)


def test_perceptual_distance_of_known_directions():
    one, other = np.zeros((2, 3, 4)), np.zeros((2, 3, 4))
    one[0], other[1] = 5.0, 0.1
    assert perceptual_distance([one], [one * 7]) == pytest.approx(0, abs=1e-15)
    assert perceptual_distance([one], [other]) == pytest.approx(2)
    assert perceptual_distance([one], [-one]) == pytest.approx(4)
    assert perceptual_distance([one], [other], [np.array([0.5, 3])]) == pytest.approx(3.5)
    half = one.copy()
    half[:, 0, :2] = other[:, 0, :2]
    assert perceptual_distance([one, one], [half, -one]) == pytest.approx(2 * 2 / 12 + 4)


def test_perceptual_distance_is_torchs_cosine_where_weights_are_one():
    torch = pytest.importorskip("torch")
    layers = [(RNG.normal(size=s), RNG.normal(size=s)) for s in ((4, 6, 5), (8, 3, 2))]
    expected = sum(
        float(2 - 2 * torch.cosine_similarity(torch.tensor(a), torch.tensor(b), dim=0).mean())
        for a, b in layers
    )
    found = perceptual_distance([a for a, _ in layers], [b for _, b in layers])
    assert found == pytest.approx(expected)


def test_layers_that_do_not_fit_are_refused():
    maps = RNG.normal(size=(4, 6, 5))
    for args in (([maps], [maps[1:]]), ([maps], [maps, maps]), ([maps], [maps], [np.ones(3)])):
        with pytest.raises(ValueError, match="expected"):
            perceptual_distance(*args)
    assert perceptual_distance([0 * maps], [0 * maps]) == 0
