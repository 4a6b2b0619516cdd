"""Windows cover the mask, blend without seams and give back what they were cut from."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers import SlidingWindowInferer

from bids_synth.learn.data.patches import blend_weights, cut, slide, start_around, window_starts

CPU = torch.device("cpu")
lengths = st.tuples(*[st.integers(3, 40)] * 3)
patches = st.tuples(*[st.sampled_from([4, 8, 16])] * 3)


def random_mask(shape, seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    corner = [int(rng.integers(0, n)) for n in shape]
    box = tuple(slice(c, int(rng.integers(c, n)) + 1) for c, n in zip(corner, shape, strict=True))
    mask[box] = rng.random(mask[box].shape) < 0.3
    mask[tuple(corner)] = 1
    return mask


@settings(max_examples=60, deadline=None)
@given(lengths, patches, st.sampled_from([0.0, 0.25, 0.5, 0.7]), st.integers(0, 99))
def test_every_voxel_of_the_mask_is_covered_and_given_back(shape, patch, overlap, seed):
    mask = random_mask(shape, seed)
    image = np.random.default_rng(seed).random((2, *shape)).astype(np.float32)
    back = slide(lambda w: w, image, mask, patch=patch, overlap=overlap, device=CPU)
    np.testing.assert_allclose(back[:, mask > 0], image[:, mask > 0], rtol=1e-5, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(lengths, patches, st.sampled_from([0.25, 0.5]), st.integers(0, 99))
def test_neighbouring_windows_share_the_overlap_and_hold_mask(shape, patch, overlap, seed):
    mask = random_mask(shape, seed)
    starts = window_starts(mask, patch, overlap)
    assert all(cut(mask, s, patch).any() for s in starts)
    for axis in range(3):
        places = sorted({s[axis] for s in window_starts(np.ones_like(mask), patch, overlap)})
        assert all(b - a <= patch[axis] * (1 - overlap) + 1 for a, b in pairwise(places))


def test_about_a_ball_there_are_fewer_windows_than_in_its_box():
    axes = np.meshgrid(*[np.linspace(-1, 1, 60)] * 3, indexing="ij")
    ball, box = sum(a**2 for a in axes) < 1, np.ones((60, 60, 60), bool)
    for overlap in (0.0, 0.25, 0.5):
        one, other = (len(window_starts(mask, (12,) * 3, overlap)) for mask in (ball, box))
        assert one < 0.85 * other


def test_slices_are_shown_in_one_place():
    """What a 2D network says of a slice must not move with the width of the head there."""
    mask = np.zeros((40, 50, 30), bool)
    for k in range(5, 25):
        mask[10 : 12 + k, 15 : 30 + k // 2, k] = True
    starts = window_starts(mask, (40, 64, 1), 0.25)
    assert len(starts) == 20
    assert len({start[:2] for start in starts}) == 1


def test_a_window_alone_is_given_back_as_it_is():
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[4:12, 5:14, 3:13] = 1
    image = np.random.default_rng(0).random((2, 20, 20, 20)).astype(np.float32)
    back = slide(lambda w: w, image, mask, patch=(12, 12, 12), overlap=0.5, device=CPU)
    assert (back[:, mask > 0] == image[:, mask > 0]).all()


def test_a_constant_has_no_seams():
    mask = np.ones((30, 20, 25), np.uint8)
    image = np.full((1, *mask.shape), 0.7, np.float32)
    made = slide(lambda w: 2 * w, image, mask, patch=(16, 16, 16), overlap=0.5, device=CPU)
    np.testing.assert_allclose(made, 1.4, atol=1e-6)


def test_blending_is_that_of_monai():
    """Same windows (the volume is a whole number of strides), same answer."""
    rng = np.random.default_rng(0)
    image = rng.random((1, 32, 24, 40)).astype(np.float32)

    def place_dependent(window: torch.Tensor) -> torch.Tensor:
        return window * torch.linspace(0.5, 1.5, 16)[None, None, :, None, None]

    theirs = SlidingWindowInferer((16, 16, 16), overlap=0.5, mode="gaussian", sigma_scale=0.125)
    expected = theirs(torch.from_numpy(image)[None], place_dependent)[0].numpy()
    mask = np.ones(image.shape[1:], np.uint8)
    ours = slide(place_dependent, image, mask, patch=(16, 16, 16), overlap=0.5, device=CPU)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@given(st.tuples(*[st.integers(0, 39)] * 3), st.tuples(*[st.integers(40, 50)] * 3), patches)
def test_a_window_holds_its_centre(centre, shape, patch):
    start = start_around(centre, shape, patch)
    assert all(a <= c < a + p for a, c, p in zip(start, centre, patch, strict=True))
    assert all(a >= 0 and a + p <= n for a, n, p in zip(start, shape, patch, strict=True))


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="mask is empty"):
        slide(
            lambda w: w,
            np.zeros((1, 9, 9, 9), np.float32),
            np.zeros((9, 9, 9)),
            patch=(8, 8, 8),
            overlap=0.5,
            device=CPU,
        )


def test_weights_are_symmetric_and_positive():
    weights = blend_weights((8, 16, 24))
    np.testing.assert_array_equal(weights, weights[::-1, ::-1, ::-1])
    assert weights.min() > 0
