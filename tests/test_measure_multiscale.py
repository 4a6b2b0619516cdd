"""MS-SSIM against MONAI's parts at every scale, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bids_synth.measure.multiscale import WEIGHTS, halve, ms_ssim, scales_of

RNG = np.random.default_rng(4)
SHAPE = (58, 60, 57)
REAL = ndimage.gaussian_filter(RNG.normal(size=SHAPE), 2) * 5 + 0.5
OTHER = REAL + ndimage.gaussian_filter(RNG.normal(size=SHAPE), 1) * 0.6 + 0.05
EVERYWHERE = np.ones(SHAPE)
_AT = [(np.indices(SHAPE)[axis] + 0.5) / n * 2 - 1 for axis, n in enumerate(SHAPE)]
BALL = (_AT[0] ** 2 + _AT[1] ** 2 + _AT[2] ** 2 < 1).astype(float)
"""Touches every face, so that its box is the volume."""


def monais_scales(one, other, weight, count):
    """Contrast and structure at every scale, and SSIM at the last, of images mirrored at edges."""
    one, other = np.where(weight > 0, one, 0), np.where(weight > 0, other, 0)
    torch = pytest.importorskip("torch")
    from monai.metrics.regression import KernelType, compute_ssim_and_cs

    found = []
    for _ in range(count):
        pair = [torch.tensor(np.pad(a, 3, mode="symmetric")[None, None]) for a in (one, other)]
        ssim, parts = compute_ssim_and_cs(
            *pair, spatial_dims=3, data_range=1.0, kernel_type=KernelType.UNIFORM,
            kernel_size=(7, 7, 7), kernel_sigma=(1.5, 1.5, 1.5),
        )  # fmt: skip
        found.append(np.average(parts[0, 0].numpy(), weights=weight))
        found_ssim = np.average(ssim[0, 0].numpy(), weights=weight)
        one, other, weight = (
            torch.nn.functional.avg_pool3d(torch.tensor(a[None, None]), 2)[0, 0].numpy()
            for a in (one, other, weight)
        )
    found[-1] = found_ssim
    return np.maximum(found, 0)


@pytest.mark.parametrize("mask", [EVERYWHERE, BALL], ids=["everywhere", "ball"])
def test_ms_ssim_is_monais_scales_with_wangs_exponents(mask):
    weights = np.array(WEIGHTS[:4]) / sum(WEIGHTS[:4])
    expected = np.prod(monais_scales(REAL, OTHER, mask, 4) ** weights)
    found = ms_ssim(REAL, OTHER, mask, data_range=1.0)
    assert found == pytest.approx(expected, rel=1e-6)
    assert 0.3 < found < 0.99


def test_equal_images_are_perfect_and_opposite_ones_worthless():
    assert ms_ssim(REAL, REAL, EVERYWHERE, data_range=1.0) == pytest.approx(1)
    assert ms_ssim(REAL, -REAL, EVERYWHERE, data_range=1.0) == 0


def test_a_shift_of_brightness_counts_at_the_coarsest_scale_only():
    one, shift, c1 = np.full(SHAPE, 0.5), 0.3, 0.01**2
    luminance = (2 * 0.5 * 0.8 + c1) / (0.5**2 + 0.8**2 + c1)
    expected = luminance ** (WEIGHTS[3] / sum(WEIGHTS[:4]))
    found = ms_ssim(one, one + shift, EVERYWHERE, data_range=1.0)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("factor", [0.25, 0.8, 1.7, 6.0])
def test_a_scaled_contrast_counts_at_every_scale(factor):
    """Of y = k x every term is 2 k / (1 + k^2) wherever the stabilisers are negligible.

    Contrast and structure of all scales have exponents that sum to 1, luminance that of the last.
    """
    ratio = 2 * factor / (1 + factor**2)
    expected = ratio ** (1 + WEIGHTS[3] / sum(WEIGHTS[:4]))
    found = ms_ssim(REAL, factor * REAL, EVERYWHERE, data_range=1e-6)
    assert found == pytest.approx(expected, rel=1e-4)


def test_noise_lowers_it_and_more_noise_more():
    noise = RNG.normal(size=SHAPE)
    found = [ms_ssim(REAL, REAL + s * noise, EVERYWHERE, data_range=1.0) for s in (0, 0.1, 0.4, 2)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found)


def test_nothing_outside_the_mask_counts():
    mask = np.zeros(SHAPE)
    mask[8:50, 9:49, 10:47] = 1
    mask[8:20, 9:20, 10:20] = 0
    plain = ms_ssim(REAL, OTHER, mask, data_range=1.0)
    real, other = (np.where(mask > 0, a, RNG.normal(size=SHAPE)) for a in (REAL, OTHER))
    assert ms_ssim(real, other, mask, data_range=1.0) == plain
    assert plain != ms_ssim(REAL, OTHER, EVERYWHERE, data_range=1.0)


def test_halving_is_the_mean_of_blocks():
    array = np.arange(4 * 2 * 5, dtype=float).reshape(4, 2, 5)
    assert halve(array).shape == (2, 1, 2)
    assert halve(array)[1, 0, 1] == array[2:4, 0:2, 2:4].mean()


@pytest.mark.parametrize(("side", "count"), [(7, 1), (13, 1), (14, 2), (28, 3), (56, 4), (500, 5)])
def test_small_volumes_have_fewer_scales(side, count):
    assert scales_of((side, 600, 600)) == count


def test_a_mask_smaller_than_a_window_is_refused():
    with pytest.raises(ValueError, match="at least 7"):
        ms_ssim(REAL[:6], OTHER[:6], EVERYWHERE[:6], data_range=1.0)
