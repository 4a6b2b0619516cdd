"""Scales: the inverse is exact, and the percentiles land where they should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import SUVR, Scale, fit_scale, median_scale
from bids_synth.errors import RecipeError
from bids_synth.recipe.recipe import load_recipe

finite = st.floats(-1e4, 1e4, width=32)


@given(st.lists(finite, min_size=1, max_size=50), finite, st.floats(0.125, 1e4, width=32))
def test_invert_undoes_apply(values: list[float], offset: float, gain: float) -> None:
    scale = Scale(offset, gain)
    array = np.array(values)
    back = scale.invert(scale.apply(array))
    np.testing.assert_allclose(back, array, rtol=1e-4, atol=2e-3 * max(1, abs(offset) / 100))


@given(st.floats(-500, 500), st.floats(0.5, 2000))
def test_percentile_scale_follows_gain_and_offset(offset: float, gain: float) -> None:
    values = np.random.default_rng(0).normal(size=5000)
    plain = fit_scale(MODALITIES["T1w"], values)
    moved = fit_scale(MODALITIES["T1w"], values * gain + offset)
    np.testing.assert_allclose(
        moved.apply(values * gain + offset), plain.apply(values), rtol=1e-3, atol=1e-4
    )


def test_percentiles_become_zero_and_one() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=9999)
    scaled = fit_scale(MODALITIES["T2w"], values).apply(values)
    assert np.percentile(scaled, 0.5) == pytest.approx(0, abs=1e-4)
    assert np.percentile(scaled, 99.5) == pytest.approx(1, abs=1e-4)


def test_hounsfield_units_do_not_depend_on_the_image() -> None:
    scale = fit_scale(MODALITIES["ct"], np.array([5.0, 5.0]))
    assert scale.apply(np.array([-1024.0, 3000.0])).tolist() == [0.0, 1.0]


def test_constant_image_is_refused() -> None:
    with pytest.raises(ValueError, match="constant inside the mask"):
        fit_scale(MODALITIES["T1w"], np.full(100, 7.0))


def test_median_scale_is_the_median_and_ignores_one_outlier() -> None:
    scales = [Scale(0, 100), Scale(0, 110), Scale(0, 1e6)]
    assert median_scale(scales) == Scale(0, 110)


@given(st.lists(st.floats(0.5, 300, width=32), min_size=1, max_size=50))
def test_a_logarithmic_scale_is_undone_and_turns_ratios_into_differences(
    values: list[float],
) -> None:
    scale = fit_scale(MODALITIES["cmro2"], np.empty(0), log=True)
    array = np.array(values)
    np.testing.assert_allclose(scale.invert(scale.apply(array)), array, rtol=1e-4)
    step = scale.apply(2 * array) - scale.apply(array)
    np.testing.assert_allclose(step, np.log(2) / scale.gain, atol=1e-5)


def test_a_logarithm_of_nothing_is_finite() -> None:
    scale = fit_scale(MODALITIES["cbf"], np.empty(0), log=True)
    below, tissue = scale.apply(np.array([0.0, -5.0])), scale.apply(np.array([10.0, 60.0]))
    assert np.isfinite(below).all()
    assert (below.max() < tissue).all()
    assert tissue[0] < tissue[1]
    np.testing.assert_allclose(scale.invert(tissue), [10.0, 60.0], rtol=1e-5)


def test_an_uptake_ratio_does_not_know_the_dose() -> None:
    values = np.random.default_rng(2).gamma(3.0, size=1000)
    one, double = (fit_scale(MODALITIES["pet"], v, suvr=True) for v in (values, 2 * values))
    np.testing.assert_allclose(one.apply(values), double.apply(2 * values), rtol=1e-5)
    assert one.apply(values).mean() * SUVR == pytest.approx(1, rel=1e-4)


def test_other_percentiles_become_0_and_1_and_are_free_of_what_lies_beyond():
    values = np.random.default_rng(3).normal(size=5000)
    bright = np.where(values > np.quantile(values, 0.97), 50.0, values)
    one, other = (
        fit_scale(MODALITIES["T1w"], v, percentiles=(5.0, 95.0)) for v in (values, bright)
    )
    np.testing.assert_allclose(one.apply(np.percentile(values, [5, 95])), [0, 1], atol=1e-6)
    assert one == other


@pytest.mark.parametrize("ends", ["[95, 5]", "[-1, 50]", "[1, 101]", "[5, 5]"])
def test_percentiles_out_of_order_are_refused(ends):
    with pytest.raises(RecipeError, match=r"preparation\.percentiles: .*in order, from 0 to 100"):
        load_recipe("impute", {"preparation.percentiles": ends})
