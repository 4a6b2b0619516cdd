"""qBOLD closed forms against worked figures and their own algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_synth.physics.formulas import (
    arterial_oxygen,
    blood_frequency,
    cmro2,
    oef,
    r2prime,
    regional_oef,
)

T2 = 0.1


def maps(rate, *, cbf=40.0, cbv=3.5):
    """CBF, CBV, T2 and T2* of four voxels whose R2' is `rate` 1/s."""
    return [np.full(4, v) for v in (cbf, cbv, T2, 1 / (1 / T2 + rate))]


def test_the_worked_figure():
    assert cmro2(*maps(3.0), hct=42.0, o2sat=98.0)[0] == pytest.approx(110, abs=1)
    assert cmro2(*maps(3.0), hct=42.0, o2sat=98.0)[0] == pytest.approx(
        3.215 * 40 * 3 / 3.5, rel=1e-3
    )


@given(one=st.floats(25, 60), other=st.floats(25, 60), o2sat=st.floats(80, 100))
def test_haematocrit_cancels_in_cmro2_and_saturation_scales_it(one, other, o2sat):
    first = cmro2(*maps(3.0), hct=one, o2sat=o2sat)
    np.testing.assert_allclose(first, cmro2(*maps(3.0), hct=other, o2sat=o2sat), rtol=1e-12)
    np.testing.assert_allclose(first / o2sat, cmro2(*maps(3.0), hct=one, o2sat=50.0) / 50)


@given(hct=st.floats(25, 60), fraction=st.floats(0.01, 1.4), cbv=st.floats(0.5, 12))
def test_oef_gives_back_the_fraction_that_made_the_rate_but_never_more_than_all(
    hct, fraction, cbv
):
    rate = 4 / 3 * np.pi * 267.61918 * 0.264 * hct / 100 * 0.85 * 3 * fraction * cbv / 100
    _, volume, t2, t2star = maps(rate, cbv=cbv)
    np.testing.assert_allclose(oef(volume, t2, t2star, hct=hct), min(fraction, 1), rtol=1e-6)


def test_constants_are_the_published_ones():
    assert blood_frequency(42.0) == pytest.approx(317, abs=0.5)
    assert arterial_oxygen(42.0, 98.0) == pytest.approx(0.334 * 42 * 55.6 * 0.98)


def test_r2prime_is_the_difference_of_the_rates_and_never_negative():
    t2, t2star = np.array([0.1, 0.08, 0.1, 0.0]), np.array([0.05, 0.06, 0.2, 0.1])
    np.testing.assert_allclose(r2prime(t2, t2star), [10, 1 / 0.06 - 1 / 0.08, 0, 0])
    assert r2prime(t2.astype(np.float32), t2star.astype(np.float32)).dtype == np.float32


def test_no_more_oxygen_is_consumed_than_the_blood_brings():
    _, cbv, _, _ = maps(3.0)
    t2, t2star = np.full(4, T2), 1 / (1 / T2 + np.array([3.0, 3.0, 900.0, 6.0]))
    for mask in (None, np.ones(4), np.array([1, 1, 1, 0])):
        found = oef(cbv, t2, t2star, hct=42.0, mask=mask)
        assert found[2] == 1.0
        assert found[0] == pytest.approx(3.0 / (blood_frequency(42.0) * cbv[0] / 100))
        assert (found[3] == 0) == (mask is not None and mask[3] == 0)
    consumed = cmro2(np.full(4, 40.0), cbv, t2, t2star, hct=42.0, o2sat=98.0, mask=np.ones(4))
    assert consumed[2] == pytest.approx(40 / 0.75 * arterial_oxygen(42, 98) / 100)


@given(
    hct=st.floats(0.1, 70),
    values=st.lists(st.floats(-0.5, 3), min_size=12, max_size=12),
    masked=st.booleans(),
)
def test_oef_is_a_fraction_whatever_the_maps_and_the_blood(hct, values, masked):
    cbv, t2, t2star = np.array(values).reshape(3, 4)
    mask = np.array([1, 1, 0, 1]) if masked else None
    found = oef(cbv, t2, t2star, hct=hct, mask=mask)
    assert ((found >= 0) & (found <= 1)).all()
    shape = (4, 1, 1)
    maps_3d = [a.reshape(shape) for a in (cbv, t2, t2star)]
    smooth = regional_oef(*maps_3d, hct=hct, weights=np.ones(shape), sigma=[1.0, 0, 0])
    assert ((smooth >= 0) & (smooth <= 1)).all()


def test_nothing_divides_by_zero():
    cbv, t2, t2star = (
        np.array([0.0, 3.0, 3.0]),
        np.array([0.1, 0.0, 0.1]),
        np.array([0.05, 0.05, 0]),
    )
    with np.errstate(all="raise"):
        assert (oef(cbv, t2, t2star, hct=42.0) == 0).all()
        assert (cmro2(np.ones(3), cbv, t2, t2star, hct=42.0, o2sat=98.0) == 0).all()


SHAPE = (24, 24, 24)


def brain(fraction, rng, *, noise=0.0):
    """CBV, T2 and T2* of a brain with varied blood whose OEF is `fraction`."""
    cbv = rng.uniform(1.5, 5, SHAPE)
    rate = blood_frequency(42.0) * fraction * cbv / 100 + noise * rng.standard_normal(SHAPE)
    t2star = 1 / np.maximum(1 / T2 + rate, 1)
    return cbv + 0.2 * noise * rng.standard_normal(SHAPE), np.full(SHAPE, T2), t2star


@given(fraction=st.floats(0.1, 0.9), sigma=st.floats(0, 6), seed=st.integers(0, 99))
def test_regional_oef_gives_back_a_fraction_that_is_the_same_everywhere(fraction, sigma, seed):
    rng = np.random.default_rng(seed)
    cbv, t2, t2star = brain(fraction, rng)
    weights = rng.uniform(0, 2, SHAPE) + 0.01
    # The cap of R2' at its 99th percentile takes a little from the bloodiest voxels.
    found = regional_oef(cbv, t2, t2star, hct=42.0, weights=weights, sigma=[sigma] * 3)
    np.testing.assert_allclose(np.median(found), fraction, rtol=2e-3)


def test_regional_oef_without_smoothing_is_that_of_each_voxel():
    cbv, t2, t2star = brain(0.4, np.random.default_rng(1))
    found = regional_oef(cbv, t2, t2star, hct=42.0, weights=np.ones(SHAPE), sigma=[0] * 3)
    below = r2prime(t2, t2star) < np.percentile(r2prime(t2, t2star), 98)
    np.testing.assert_allclose(found[below], oef(cbv, t2, t2star, hct=42.0)[below], rtol=1e-9)


def test_regional_oef_is_told_apart_between_halves_and_far_less_noisy():
    rng = np.random.default_rng(2)
    fraction = np.where(np.arange(24)[:, None, None] < 12, 0.3, 0.5) * np.ones(SHAPE)
    cbv, t2, t2star = brain(fraction, rng, noise=1.5)
    weights = np.ones(SHAPE)
    found = regional_oef(cbv, t2, t2star, hct=42.0, weights=weights, sigma=[2] * 3)
    single = oef(cbv, t2, t2star, hct=42.0, mask=np.ones(SHAPE))
    assert found[:8].mean() == pytest.approx(0.3, rel=0.05)
    assert found[-8:].mean() == pytest.approx(0.5, rel=0.05)
    errors = [np.abs(e - fraction)[:8].mean() for e in (found, single)]
    assert errors[0] < errors[1] / 4


def test_regional_oef_knows_nothing_of_voxels_that_are_far_from_blood():
    cbv, t2, t2star = brain(0.4, np.random.default_rng(3))
    weights = np.zeros(SHAPE)
    weights[:4] = 1
    found = regional_oef(cbv, t2, t2star, hct=42.0, weights=weights, sigma=[1] * 3)
    assert np.isfinite(found).all()
    assert (found[-8:] == 0).all()
    assert (found[:4] > 0.3).all()
    nothing = regional_oef(cbv, t2, t2star, hct=42.0, weights=0 * weights, sigma=[1] * 3)
    assert not nothing.any()
