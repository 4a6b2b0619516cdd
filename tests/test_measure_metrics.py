"""Metrics against closed forms, scikit-image and MONAI; the protocol by its properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from bids_synth.core.catalogue import METRICS
from bids_synth.errors import VisitError
from bids_synth.measure import metrics
from bids_synth.measure.protocol import PROTOCOLS, prepared_score
from bids_synth.measure.protocols.masked3d import masked3d
from bids_synth.spatial.boxes import bounding_box
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume

RNG = np.random.default_rng(3)
SHAPE = (20, 24, 18)
REAL = ndimage.gaussian_filter(RNG.normal(size=SHAPE), 1.5) * 5 + 0.5
OTHER = REAL + RNG.normal(scale=0.1, size=SHAPE)
MASK = np.zeros(SHAPE, dtype=np.uint8)
MASK[4:16, 5:20, 3:15] = 1
MASK[4:6, 5:7, 3:5] = 0
EVERYWHERE = np.ones(SHAPE, dtype=np.uint8)


def volume(array: np.ndarray, unit: str = "arbitrary", move: float = 0.0) -> Volume:
    affine = np.diag([-1.0, 1.2, 2.0, 1.0])
    affine[0, 3] = move
    return Volume(array, Grid(array.shape, affine), unit)


def test_a_constant_error_has_its_closed_form():
    shifted = REAL + 0.25
    assert metrics.mae(REAL, shifted, MASK) == pytest.approx(0.25)
    assert metrics.psnr(REAL, shifted, MASK, data_range=2.0) == pytest.approx(
        20 * np.log10(2 / 0.25)
    )
    assert metrics.psnr(REAL, REAL, MASK, data_range=1.0) == float("inf")
    assert metrics.ssim(REAL, REAL, MASK, data_range=1.0) == pytest.approx(1.0)


def test_psnr_is_scikit_image_on_the_voxels_of_the_mask():
    inside = MASK > 0
    expected = peak_signal_noise_ratio(REAL[inside], OTHER[inside], data_range=1.3)
    assert metrics.psnr(REAL, OTHER, MASK, data_range=1.3) == pytest.approx(expected)


def test_ssim_over_everything_is_the_mean_of_scikit_images_map():
    _, full = structural_similarity(REAL, OTHER, data_range=1.0, full=True)
    assert metrics.ssim(REAL, OTHER, EVERYWHERE, data_range=1.0) == pytest.approx(full.mean())


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.integers(7, 16)] * 3), st.floats(0.1, 100), st.integers(0, 9))
def test_ssim_in_any_mask_is_scikit_images_map_there(shape, data_range, seed):
    rng = np.random.default_rng(seed)
    one, other = data_range * rng.random((2, *shape))
    mask = rng.random(shape) < 0.7
    mask[0, 0, 0] = mask[-1, -1, -1] = True
    held = [np.where(mask, image, 0) for image in (one, other)]
    _, full = structural_similarity(*held, win_size=7, data_range=data_range, full=True)
    ours = metrics.ssim(one, other, mask, data_range=data_range)
    assert ours == pytest.approx(full[mask].mean(), abs=1e-9)


def test_ssim_is_monais_on_images_mirrored_at_their_edges():
    torch = pytest.importorskip("torch")
    from monai.metrics.regression import KernelType, compute_ssim_and_cs

    one, other = (torch.tensor(np.pad(a, 3, mode="symmetric")[None, None]) for a in (REAL, OTHER))
    full, _ = compute_ssim_and_cs(
        one, other, spatial_dims=3, data_range=1.0, kernel_type=KernelType.UNIFORM,
        kernel_size=(7, 7, 7), kernel_sigma=(1.5, 1.5, 1.5),
    )  # fmt: skip
    # MONAI divides variances by n, scikit-image by n - 1, with n = 343.
    ours = metrics.ssim(REAL, OTHER, EVERYWHERE, data_range=1.0)
    assert ours == pytest.approx(float(full.mean()), abs=2e-3)
    assert ours < 0.99


def test_ssim_refuses_a_mask_thinner_than_its_window():
    thin = np.zeros(SHAPE)
    thin[:, :, 4:8] = 1
    with pytest.raises(ValueError, match="at least 7"):
        metrics.ssim(REAL, OTHER, thin, data_range=1.0)


def test_pearson_is_scipys():
    inside = MASK > 0
    expected = stats.pearsonr(REAL[inside], OTHER[inside]).statistic
    assert metrics.pearson(REAL, OTHER, MASK) == pytest.approx(expected)
    assert metrics.pearson(REAL, -3 * REAL + 2, MASK) == pytest.approx(-1)
    assert np.isnan(metrics.pearson(REAL, np.ones(SHAPE), MASK))


def test_mutual_information_from_nothing_to_everything():
    shuffled = RNG.permutation(REAL.ravel()).reshape(SHAPE)
    nothing = metrics.mutual_information(REAL, shuffled, EVERYWHERE, bins=8)
    inverted = metrics.mutual_information(REAL, -REAL, EVERYWHERE, bins=8)
    assert nothing == pytest.approx(1.0, abs=0.01)
    assert inverted == pytest.approx(2.0, abs=0.01)
    table = np.histogram2d(REAL.ravel(), OTHER.ravel(), bins=8)[0]
    joint = stats.entropy(table.ravel())
    expected = (stats.entropy(table.sum(0)) + stats.entropy(table.sum(1))) / joint
    found = metrics.mutual_information(REAL, OTHER, EVERYWHERE, bins=8)
    assert found == pytest.approx(expected)


def test_rmse_is_the_error_in_psnr():
    peak = 20 * np.log10(1.3 / metrics.rmse(REAL, OTHER, MASK))
    assert metrics.psnr(REAL, OTHER, MASK, data_range=1.3) == pytest.approx(peak)


@pytest.mark.parametrize("name", ["mae", "rmse", "pearson"])
def test_an_empty_mask_and_other_shapes_are_refused(name):
    score = getattr(metrics, name)
    with pytest.raises(ValueError, match="empty"):
        score(REAL, OTHER, np.zeros(SHAPE))
    with pytest.raises(ValueError, match="one shape"):
        score(REAL, OTHER[1:], MASK)


@given(
    corner=st.tuples(*(st.integers(0, 5) for _ in range(3))),
    size=st.tuples(*(st.integers(1, 6) for _ in range(3))),
)
def test_the_bounding_box_holds_the_mask_and_nothing_less(corner, size):
    mask = np.zeros((12, 12, 12))
    box = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
    mask[box] = 1
    assert bounding_box(mask) == box


def test_masked3d_has_every_metric_and_its_closed_forms():
    scores = masked3d(volume(REAL), volume(REAL + 0.3), volume(MASK))
    low, high = np.percentile(REAL[MASK > 0], [0.5, 99.5])
    assert tuple(scores) == METRICS
    assert scores["mae"] == pytest.approx(0.3, rel=1e-5)
    assert scores["rmse"] == pytest.approx(0.3, rel=1e-5)
    assert scores["nmae"] == pytest.approx(0.3 / (high - low), rel=1e-5)
    assert scores["psnr"] == pytest.approx(20 * np.log10((high - low) / 0.3), rel=1e-5)
    assert scores["pearson"] == pytest.approx(1.0)
    assert PROTOCOLS["masked3d"] is masked3d


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(0.1, 4000), offset=st.floats(-2000, 2000))
def test_masked3d_does_not_depend_on_the_unit_but_for_mae(gain, offset):
    plain = masked3d(volume(REAL), volume(OTHER), volume(MASK))
    one, other = gain * REAL + offset, gain * OTHER + offset
    scaled = masked3d(volume(one), volume(other), volume(MASK))
    assert scaled["mae"] == pytest.approx(gain * plain["mae"], rel=1e-3)
    for name in ("psnr", "ssim", "nmae", "pearson"):
        assert scaled[name] == pytest.approx(plain[name], rel=1e-3)


def test_nothing_outside_the_mask_counts():
    plain = masked3d(volume(REAL), volume(OTHER), volume(MASK))
    outside = MASK == 0
    real, other = REAL.copy(), OTHER.copy()
    real[outside], other[outside] = 900, -50
    np.testing.assert_equal(masked3d(volume(real), volume(other), volume(MASK)), plain)


def test_a_global_error_of_intensity_is_not_forgiven():
    right = masked3d(volume(REAL), volume(OTHER), volume(MASK))
    twice = masked3d(volume(REAL), volume(2 * OTHER), volume(MASK))
    assert twice["psnr"] < right["psnr"] - 3


def test_masked3d_refuses_what_cannot_be_compared():
    real, mask = volume(REAL), volume(MASK)
    with pytest.raises(VisitError, match="one grid"):
        masked3d(real, volume(OTHER, move=0.5), mask)
    with pytest.raises(VisitError, match="one grid"):
        masked3d(real, volume(OTHER), volume(MASK[:-1]))
    with pytest.raises(VisitError, match="empty"):
        masked3d(real, volume(OTHER), volume(MASK * 0))
    with pytest.raises(VisitError, match="tissue"):
        masked3d(volume(np.ones(SHAPE)), volume(OTHER), mask)
    with pytest.raises(ValueError, match="expected values in arbitrary, got HU"):
        masked3d(real, volume(OTHER, unit="HU"), mask)


def test_the_score_that_selects_weights_is_masked_psnr_at_range_one():
    expected = metrics.psnr(REAL, OTHER, MASK, data_range=1.0)
    assert prepared_score(REAL, OTHER, MASK) == expected
