"""Intervals hold what they are meant to hold: errors of known scale are the oracle."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from bids_synth.core.trust.interval import (
    LEVEL,
    Factor,
    Width,
    fit_width,
    held_out_coverage,
    pooled_quantile,
)
from bids_synth.core.trust.voxels import Ground, voxel_figures

HALF = stats.norm.ppf((1 + LEVEL) / 2)
"""Half the width of a 90 % interval in standard deviations of a normal distribution."""


def normal_person(rng, voxels, deviation=lambda v: np.full(v.shape, 0.1)):
    """Figures, absolute errors and true standard deviations of one participant."""
    figures = {"value": rng.normal(size=voxels), "depth": rng.exponential(10, voxels)}
    scale = deviation(figures["value"])
    return figures, np.abs(rng.normal(size=voxels) * scale), scale


def fitted(people, level=LEVEL):
    return fit_width([p[0] for p in people], [p[1] for p in people], level=level)


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.floats(0.01, 100), st.integers(1, 5))
def test_gaussian_errors_of_one_scale_get_its_quantile(seed, scale, count):
    rng = np.random.default_rng(seed)
    people = [normal_person(rng, 8000, lambda v: np.full(v.shape, scale)) for _ in range(count)]
    half = fitted(people).of(normal_person(rng, 500)[0])
    assert half == pytest.approx(np.full(500, HALF * scale), rel=0.2)
    assert np.median(half) == pytest.approx(HALF * scale, rel=0.05)


@settings(max_examples=10)
@given(st.integers(0, 2**31), st.floats(0.2, 1.2))
def test_a_width_follows_the_scale_of_the_error(seed, slope):
    """Heteroscedastic errors: the width of a voxel is that of its own error, for new people."""
    rng = np.random.default_rng(seed)

    def deviation(value):
        return 0.05 * np.exp(slope * value)

    width = fitted([normal_person(rng, 20000, deviation) for _ in range(3)])
    figures, error, scale = normal_person(rng, 20000, deviation)
    half = width.of(figures)
    assert np.mean(error <= half) == pytest.approx(LEVEL, abs=0.02)
    usual = np.abs(figures["value"]) < 1.5
    assert half[usual] == pytest.approx(HALF * scale[usual], rel=0.45)
    for low, high in ((-1.5, -0.5), (-0.5, 0.5), (0.5, 1.5)):
        there = (figures["value"] > low) & (figures["value"] < high)
        assert np.mean(error[there] <= half[there]) == pytest.approx(LEVEL, abs=0.05)


@settings(max_examples=10)
@given(st.integers(0, 2**31), st.floats(1.5, 8))
def test_two_groups_of_voxels_are_each_held(seed, ratio):
    """Where a figure tells the groups apart; without it, only their mixture is."""
    rng = np.random.default_rng(seed)

    def deviation(value):
        return np.where(value > 0, ratio * 0.1, 0.1)

    people = [normal_person(rng, 20000, deviation) for _ in range(3)]
    figures, error, _ = normal_person(rng, 20000, deviation)
    blind = fit_width([{"depth": p[0]["depth"]} for p in people], [p[1] for p in people])
    for there in (figures["value"] > 0.3, figures["value"] < -0.3):
        held = np.mean(error[there] <= fitted(people).of(figures)[there])
        assert held == pytest.approx(LEVEL, abs=0.03)
    mixed = blind.of({"depth": figures["depth"]})
    assert np.mean(error <= mixed) == pytest.approx(LEVEL, abs=0.02)
    assert np.mean(error[figures["value"] < 0] <= mixed[figures["value"] < 0]) > LEVEL + 0.03


def test_each_participant_weighs_the_same_however_many_voxels_there_are():
    """Two people with errors of 1 and of 10: by voxel the large one alone would decide."""
    rng = np.random.default_rng(1)
    few = np.abs(rng.normal(size=1000))
    many = 10 * np.abs(rng.normal(size=100_000))
    both = [few, many]
    repeated = [np.repeat(few, 100), many]
    assert pooled_quantile(both, 0.9) == pytest.approx(pooled_quantile(repeated, 0.9), rel=1e-6)
    assert pooled_quantile(both, 0.9) < np.quantile(np.concatenate(both), 0.9)


@given(st.lists(st.floats(0, 1e6), min_size=20, max_size=60), st.floats(0.05, 0.95))
def test_of_one_participant_it_is_the_plain_quantile(values, level):
    array = np.array(values)
    expected = np.quantile(array, level, method="inverted_cdf")
    assert pooled_quantile([array], level) == pytest.approx(expected)


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.floats(0.01, 1000))
def test_the_width_has_the_unit_of_the_error(seed, unit):
    rng = np.random.default_rng(seed)
    people = [normal_person(rng, 3000) for _ in range(2)]
    other = [(figures, unit * error, None) for figures, error, _ in people]
    figures = people[0][0]
    wanted = unit * fitted(people).of(figures)
    assert fitted(other).of(figures) == pytest.approx(wanted, rel=1e-3)


def test_a_higher_level_is_wider_and_holds_more():
    rng = np.random.default_rng(2)
    people = [normal_person(rng, 4000) for _ in range(3)]
    figures, error, _ = normal_person(rng, 4000)
    widths = [fitted(people, level).of(figures) for level in (0.5, 0.8, 0.95)]
    assert all((a < b).all() for a, b in pairwise(widths))
    held = [np.mean(error <= w) for w in widths]
    assert held == pytest.approx([0.5, 0.8, 0.95], abs=0.03)


def test_what_is_held_of_people_left_out_is_told_person_by_person():
    """Three alike and one whose errors are three times as large: hers alone are not held."""
    rng = np.random.default_rng(3)
    people = [normal_person(rng, 6000) for _ in range(3)]
    people.append(normal_person(rng, 6000, lambda v: np.full(v.shape, 0.3)))
    held = held_out_coverage([p[0] for p in people], [p[1] for p in people])
    assert all(share > LEVEL for share in held[:3])
    assert held[3] == pytest.approx(2 * stats.norm.cdf(HALF / 3) - 1, abs=0.03)
    assert held_out_coverage([people[0][0]], [people[0][1]]) == ()


def test_constant_figures_and_errors_of_nothing_do_not_break_it():
    figures = {"value": np.ones(100), "depth": np.zeros(100)}
    half = fit_width([figures], [np.zeros(100)]).of(figures)
    assert np.isfinite(half).all()
    assert (half >= 0).all()


def test_nobody_and_no_level_are_refused():
    with pytest.raises(ValueError, match="errors of somebody"):
        fit_width([], [])
    with pytest.raises(ValueError, match="level between 0 and 1"):
        fit_width([{}], [np.ones(3)], level=1.0)


def test_a_factor_is_straight_between_its_values_and_constant_beyond():
    width = Width(2.0, {"depth": Factor((1.0, 3.0), (1.0, 3.0))})
    depth = np.array([0.0, 1.0, 2.0, 3.0, 9.0])
    assert width.of({"depth": depth}).tolist() == [2.0, 2.0, 4.0, 6.0, 6.0]
    assert width.times(0.5).of({"depth": depth}).tolist() == [1.0, 1.0, 2.0, 3.0, 3.0]


def test_figures_of_voxels_are_what_they_say():
    """A ramp of known slope in a box of known depth, on voxels that are no cubes."""
    mask = np.zeros((24, 24, 12), bool)
    mask[2:22, 2:22, 1:11] = True
    spacing = (1.0, 1.0, 2.0)
    ramp = 0.25 * np.arange(24)[:, None, None] * np.ones(mask.shape)
    ground = Ground(mask, spacing)
    sources = {"flat": lambda: 0 * ramp, "ramp": lambda: ramp * mask}
    found = voxel_figures(ramp * mask, sources, ground, 0 * ramp + 0.5)
    again = voxel_figures(ramp * mask, dict.fromkeys(sources, lambda: 1 / 0), ground, 0 * ramp + 1)
    assert (again["detail"] == found["detail"]).all(), "a source is looked at once"
    depth = ndimage.distance_transform_edt(mask, sampling=spacing)
    assert found["depth"] == pytest.approx(depth[mask], abs=1e-5)
    assert found["value"] == pytest.approx(ramp[mask], abs=1e-5)
    deep = depth[mask] > 5
    assert found["edge"][deep] == pytest.approx(0.25, abs=0.01)
    assert found["detail"][deep] == pytest.approx(0.25, abs=0.01)
    assert (found["spread"] == 0.5).all()
    wide = np.pad(mask, 5)
    larger = np.pad(ramp * mask, 5)
    padded = voxel_figures(
        larger, {"ramp": lambda: larger}, Ground(wide, spacing), np.full(wide.shape, 0.5)
    )
    assert padded["edge"] == pytest.approx(found["edge"], abs=1e-5)
