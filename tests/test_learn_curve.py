"""Curves against NumPy's interpolation and the quantiles that they are made of."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bids_synth.learn.networks.blocks.curve import LEAST_STEP, bend, matching_curve, straight_line

SHARES = np.linspace(0.01, 0.99, 33)


@given(seed=st.integers(0, 999), knots=st.integers(2, 40))
def test_a_curve_is_numpys_interpolation(seed, knots):
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.uniform(0.01, 0.2, knots))
    results = rng.normal(size=knots)
    images = rng.uniform(values[0] - 1, values[-1] + 1, (2, 1, 4, 5, 3))
    curve = torch.from_numpy(np.stack([values, results]))
    found = bend(torch.from_numpy(images), curve).numpy()
    np.testing.assert_allclose(found, np.interp(images, values, results), atol=1e-6)


def test_beyond_its_ends_it_is_level():
    curve = torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 5.0]])
    found = bend(torch.tensor([-2.0, 0.5, 3.0]), curve)
    assert found.tolist() == [0.0, 0.5, 5.0]


def test_a_straight_line_changes_nothing():
    images = torch.randn(2, 1, 5, 5, 5)
    torch.testing.assert_close(bend(images, straight_line(9)), images, rtol=1e-5, atol=1e-6)


def test_the_gradient_is_the_slope():
    images = torch.tensor([0.5, 1.5], requires_grad=True)
    bend(images, torch.tensor([[0.0, 1.0, 2.0], [0.0, 3.0, 1.0]])).sum().backward()
    assert images.grad.tolist() == [3.0, -2.0]


@given(seed=st.integers(0, 99), falling=st.booleans())
def test_a_matching_curve_turns_one_distribution_into_the_other(seed, falling):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(0.4, 0.2, 5000), rng.gamma(2, 0.2, 5000)
    source, target = np.quantile(one, SHARES), np.quantile(other, SHARES)
    curve = matching_curve(source, target, falling=falling)
    made = bend(torch.from_numpy(one), curve.double()).numpy()
    np.testing.assert_allclose(np.quantile(made, SHARES), target, atol=0.01)
    sign = -1 if falling else 1
    assert (np.diff(made[one.argsort()]) * sign >= 0).all()


def test_quantiles_that_are_the_same_do_no_harm():
    curve = matching_curve(np.array([0.0, 0, 0, 1]), np.array([0.0, 0.1, 0.2, 1]), falling=False)
    assert (curve[0].diff() >= 0.9 * LEAST_STEP).all()
    assert torch.isfinite(bend(torch.rand(100), curve)).all()
