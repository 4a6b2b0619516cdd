"""qBOLD closed forms against worked figures and their own algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_synth.physics import arterial_oxygen, blood_frequency, cmro2, oef, r2prime

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
def test_oef_gives_back_the_fraction_that_made_the_rate(hct, fraction, cbv):
    rate = 4 / 3 * np.pi * 267.61918 * 0.264 * hct / 100 * 0.85 * 3 * fraction * cbv / 100
    _, volume, t2, t2star = maps(rate, cbv=cbv)
    np.testing.assert_allclose(oef(volume, t2, t2star, hct=hct), fraction, rtol=1e-6)


def test_constants_are_the_published_ones():
    assert blood_frequency(42.0) == pytest.approx(317, abs=0.5)
    assert arterial_oxygen(42.0, 98.0) == pytest.approx(0.334 * 42 * 55.6 * 0.98)


def test_r2prime_is_the_difference_of_the_rates_and_never_negative():
    t2, t2star = np.array([0.1, 0.08, 0.1, 0.0]), np.array([0.05, 0.06, 0.2, 0.1])
    np.testing.assert_allclose(r2prime(t2, t2star), [10, 1 / 0.06 - 1 / 0.08, 0, 0])
    assert r2prime(t2.astype(np.float32), t2star.astype(np.float32)).dtype == np.float32


def test_oef_is_capped_by_the_median_inside_the_mask_only_with_a_mask():
    _, cbv, _, _ = maps(3.0)
    t2, t2star = np.full(4, T2), 1 / (1 / T2 + np.array([3.0, 3.0, 900.0, 6.0]))
    free = oef(cbv, t2, t2star, hct=42.0)
    assert free[2] > 50
    found = oef(cbv, t2, t2star, hct=42.0, mask=np.array([1, 1, 1, 0]))
    np.testing.assert_allclose(found, np.minimum(free, max(1.5, 5 * free[0])))
    assert found[2] == 1.5
    high = oef(cbv, t2, t2star, hct=42.0, mask=np.array([0, 0, 0, 1]))
    assert high[2] == pytest.approx(5 * free[3])
    assert oef(cbv, t2, t2star, hct=42.0, mask=np.zeros(4))[2] == 1.5
    consumed = cmro2(np.full(4, 40.0), cbv, t2, t2star, hct=42.0, o2sat=98.0, mask=np.ones(4))
    capped = max(1.5, 5 * np.median(free))
    assert consumed[2] == pytest.approx(40 / 0.75 * capped * arterial_oxygen(42, 98) / 100)


def test_nothing_divides_by_zero():
    cbv, t2, t2star = (
        np.array([0.0, 3.0, 3.0]),
        np.array([0.1, 0.0, 0.1]),
        np.array([0.05, 0.05, 0]),
    )
    with np.errstate(all="raise"):
        assert (oef(cbv, t2, t2star, hct=42.0) == 0).all()
        assert (cmro2(np.ones(3), cbv, t2, t2star, hct=42.0, o2sat=98.0) == 0).all()
