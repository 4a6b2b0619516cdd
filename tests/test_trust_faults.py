"""Noise, moved lines, bright spots, holes, balls: drawn noise and balls of known size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from bids_synth.core.trust.balls import ball_figures
from bids_synth.core.trust.faults import fault_figures

SHAPE = (48, 52, 44)
PLACES = np.stack(np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij"))
RADII = np.sqrt((PLACES**2).sum(0))
HEAD = RADII < 21


def brain(rng, noise=0.0):
    """A ball of 1 with noise in it, 0 outside."""
    return (1 + noise * rng.normal(size=SHAPE)) * HEAD


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.005, 0.3))
def test_white_noise_is_measured_in_percent(seed, noise):
    image = brain(np.random.default_rng(seed), noise)
    found = fault_figures(image, HEAD, (1, 1, 1))["noise"]
    assert found == pytest.approx(100 * noise, rel=0.06)


def test_a_smooth_image_has_no_noise_whatever_its_slope():
    ramp = (1 + 0.02 * PLACES[0]) * HEAD
    assert fault_figures(ramp, HEAD, (1, 1, 1))["noise"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("radius", [4, 8, 12])
def test_a_hole_has_the_volume_of_its_ball(radius):
    image = brain(np.random.default_rng(0), 0.02)
    image[radius > RADII] = 0.0
    found = fault_figures(image, HEAD, (1, 1, 2))["void"]
    assert found == pytest.approx(2 * (radius > RADII).sum() / 1000, rel=0.01)
    assert fault_figures(brain(np.random.default_rng(0), 0.02), HEAD, (1, 1, 2))["void"] == 0


def test_what_is_dark_at_the_rim_is_no_hole():
    image = brain(np.random.default_rng(0))
    image[(RADII > 17) & HEAD] = 0.0
    assert fault_figures(image, HEAD, (1, 1, 1))["void"] == 0


def test_bright_spots_count_from_a_thousandth():
    image = brain(np.random.default_rng(0), 0.01)
    usual = fault_figures(image, HEAD, (1, 1, 1))["bright"]
    image[RADII < 4] = 3.0
    assert usual == pytest.approx(1.03, abs=0.01)
    assert fault_figures(image, HEAD, (1, 1, 1))["bright"] == pytest.approx(3.0)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 2), st.floats(0.5, 3.0))
def test_lines_that_moved_make_one_axis_rougher(seed, axis, ripple):
    rng = np.random.default_rng(seed)
    noise = 0.05 * rng.normal(size=SHAPE)
    shape = [1, 1, 1]
    shape[axis] = SHAPE[axis]
    moved = noise + 0.05 * ripple * rng.normal(size=shape)
    same, other = (fault_figures((1 + n) * HEAD, HEAD, (1, 1, 1))["lines"] for n in (noise, moved))
    assert same == pytest.approx(1, abs=0.03)
    assert other > 1.05


def test_thick_slices_are_not_moved_lines():
    rng = np.random.default_rng(1)
    thick = np.repeat(0.05 * rng.normal(size=(*SHAPE[:2], SHAPE[2] // 4)), 4, axis=2)
    found = fault_figures((1 + thick) * HEAD, HEAD, (1, 1, 1))["lines"]
    assert found == pytest.approx(1, abs=0.03)


@settings(max_examples=12, deadline=None)
@given(st.floats(7, 14), st.booleans(), st.sampled_from([(1, 1, 1), (1, 1, 2), (3, 3, 3)]))
def test_a_ball_is_as_large_as_it_was_drawn(radius, dark, spacing):
    places = PLACES * np.reshape(spacing, (3, 1, 1, 1))
    distance = np.sqrt((places**2).sum(0))
    inside = distance < 21 * max(spacing)
    rng = np.random.default_rng(2)
    fine = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.5)
    image = (1 + 0.5 * fine) * inside
    image[(distance < radius) & inside] = 0 if dark else 2
    found = ball_figures(image, inside, spacing)
    here, there = ("ball_dark", "ball_bright") if dark else ("ball_bright", "ball_dark")
    assert found[here] == pytest.approx(radius, abs=2 + max(spacing) / 2)
    assert found[there] < found[here]
    assert all(np.isnan(v) for v in ball_figures(image, np.zeros(SHAPE, bool), spacing).values())


def test_an_empty_or_thin_mask_gives_no_number():
    nothing = fault_figures(np.ones(SHAPE), np.zeros(SHAPE, bool), (1, 1, 1))
    assert all(np.isnan(value) for value in nothing.values())
    thin = np.zeros(SHAPE, bool)
    thin[:, :, 20] = True
    assert np.isnan(fault_figures(np.ones(SHAPE), thin, (1, 1, 1))["noise"])


def test_where_the_head_lies_does_not_matter():
    rng = np.random.default_rng(4)
    image = brain(rng, 0.05)
    moved, there = np.pad(image, 8), np.pad(HEAD, 8)
    for measure in (fault_figures, ball_figures):
        one, other = measure(image, HEAD, (1, 1, 1)), measure(moved, there, (1, 1, 1))
        assert one == pytest.approx(other)
