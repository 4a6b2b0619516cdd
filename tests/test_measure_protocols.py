"""Protocols against direct computations of what they are comparable with."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from bids_synth.core.catalogue import METRICS, scores
from bids_synth.errors import VisitError
from bids_synth.measure.protocol import PROTOCOLS, UNITS, applies
from bids_synth.measure.protocols.affine_free import affine_free
from bids_synth.measure.protocols.masked3d import masked3d
from bids_synth.measure.protocols.slices import slices
from bids_synth.measure.protocols.synthrad import synthrad
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume

RNG = np.random.default_rng(8)
SHAPE = (24, 26, 20)
REAL = ndimage.gaussian_filter(RNG.normal(size=SHAPE), 1.5) * 4000
OTHER = REAL + ndimage.gaussian_filter(RNG.normal(size=SHAPE), 1) * 600 + 60
MASK = np.zeros(SHAPE, dtype=np.uint8)
MASK[4:20, 6:21, 2:20] = 1
MASK[4:7, 6:9] = 0
EVERYWHERE = np.ones(SHAPE, dtype=np.uint8)


def volume(array, unit="HU", affine=(-1.0, 1.2, 2.0)):
    return Volume(np.asarray(array), Grid(np.shape(array), np.diag([*affine, 1.0])), unit)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_fills_the_row_and_tells_its_purpose(name):
    found = PROTOCOLS[name](volume(REAL), volume(OTHER), volume(MASK))
    assert tuple(found) == METRICS
    assert not np.isnan([found["psnr"], found["ssim"]]).any()
    words = " ".join(PROTOCOLS[name].__doc__.lower().split())
    for told in ("mask", "range", "comparable", "unit"):
        assert told in words
    assert applies(name, "HU")


def test_a_protocol_says_for_which_units_it_is():
    assert set(UNITS) == set(PROTOCOLS)
    assert [n for n in PROTOCOLS if not applies(n, "arbitrary")] == ["synthrad"]
    with pytest.raises(ValueError, match="expected values in HU, got arbitrary"):
        synthrad(volume(REAL, "arbitrary"), volume(OTHER, "arbitrary"), volume(MASK))
    with pytest.raises(KeyError):
        applies("unheard-of", "HU")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_refuses_what_cannot_be_compared(name):
    protocol = PROTOCOLS[name]
    with pytest.raises(VisitError, match="one grid"):
        protocol(volume(REAL), volume(OTHER[1:]), volume(MASK))
    with pytest.raises(VisitError, match="mask is empty"):
        protocol(volume(REAL), volume(OTHER), volume(0 * MASK))
    with pytest.raises(ValueError, match="expected values in"):
        protocol(volume(REAL), volume(OTHER, "SUV"), volume(MASK))


def test_a_metric_that_no_catalogue_has_is_refused():
    with pytest.raises(ValueError, match="no such metric: loss"):
        scores(loss=1.0)


def challenge(real, other, mask):
    """SynthRAD2023's SSIM as its description has it: whole volume, then the mask's mean."""
    one, two = (np.where(mask > 0, np.clip(a, -1024, 3000), -1024) + 1024 for a in (real, other))
    _, full = structural_similarity(one, two, data_range=4024, full=True)
    inner = (slice(3, -3),) * 3
    return full[inner][mask[inner] > 0].mean()


def test_synthrad_is_mae_in_hu_and_psnr_and_ssim_in_its_range():
    found = synthrad(volume(REAL), volume(OTHER), volume(MASK))
    inside = MASK > 0
    one, two = (np.clip(a[inside], -1024, 3000) for a in (REAL, OTHER))
    assert REAL[inside].max() > 3000 or REAL[inside].min() < -1024
    assert found["mae"] == pytest.approx(np.abs(REAL - OTHER)[inside].mean())
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(one, two, data_range=4024))
    assert found["ssim"] == pytest.approx(challenge(REAL, OTHER, MASK), rel=1e-9)
    assert found["ssim"] < 0.99


@pytest.mark.parametrize("box", [np.s_[3:5, 3:23, 4:9], np.s_[0:4, 0:26, 0:20], np.s_[8:, 4:, :]])
def test_synthrads_ssim_is_that_of_the_whole_volume_wherever_the_mask_lies(box):
    mask = np.zeros(SHAPE, np.uint8)
    mask[box] = 1
    found = synthrad(volume(REAL), volume(OTHER), volume(mask))["ssim"]
    assert found == pytest.approx(challenge(REAL, OTHER, mask), rel=1e-9)


def test_a_mask_at_the_faces_has_an_error_in_hu_but_no_similarity():
    mask = np.zeros(SHAPE, np.uint8)
    mask[:2] = 1
    found = synthrad(volume(REAL), volume(OTHER), volume(mask))
    assert np.isnan([found["ssim"], found["ms_ssim"]]).all()
    assert found["mae"] == pytest.approx(np.abs(REAL - OTHER)[:2].mean())


def halved(array):
    """Means of 2x2x2 voxels i - 1 and i, with 0 beyond the first."""
    before = np.pad(array, [(1, 1 - n % 2) for n in array.shape])
    i, j, k = (n // 2 for n in before.shape)
    return before.reshape(i, 2, j, 2, k, 2).mean(axis=(1, 3, 5))


def five_scales(real, other, mask):
    """SynthRAD2025's MS-SSIM of scikit-image's own maps, scale by scale.

    With C3 = C2 / 2 the product of luminance, contrast and structure (Wang 2003, equations 1 to
    3) is the index whose map scikit-image computes.
    """
    pads = [((97 - n) // 2, 97 - n - (97 - n) // 2) for n in real.shape]
    one, two = (np.where(mask > 0, np.clip(a, -1024, 3000), -1024) + 1024 for a in (real, other))
    one, two, mask = (np.pad(a, pads, mode="edge") for a in (one, two, mask))
    product, inner = 1.0, (slice(3, -3),) * 3
    for weight in (0.0448, 0.2856, 0.3001, 0.2363, 0.1333):
        _, full = structural_similarity(one, two, data_range=4024, full=True)
        product *= (np.clip(full, 0, 1)[inner][mask[inner] > 0] ** weight).mean()
        one, two, mask = halved(one), halved(two), mask[::2, ::2, ::2]
    return product


@pytest.mark.parametrize("mask", [MASK, EVERYWHERE], ids=["inside", "everywhere"])
def test_synthrads_ms_ssim_is_the_challenges(mask):
    found = synthrad(volume(REAL), volume(OTHER), volume(mask))["ms_ssim"]
    assert found == pytest.approx(five_scales(REAL, OTHER, mask), rel=1e-6)
    assert 0.2 < found < 0.995


def test_equal_images_have_no_error():
    same = synthrad(volume(REAL), volume(REAL), volume(MASK))
    assert same["ms_ssim"] == pytest.approx(1, abs=1e-9)
    assert same["ssim"] == pytest.approx(1)
    assert same["mae"] == same["rmse"] == 0


def test_slices_over_everything_is_the_mean_of_scikit_images_slices():
    found = slices(volume(REAL), volume(OTHER), volume(EVERYWHERE))
    low, high = REAL.min(), REAL.max()
    one, two = (REAL - low) / (high - low), np.clip((OTHER - low) / (high - low), 0, 1)
    layers = range(SHAPE[2])
    psnr = [peak_signal_noise_ratio(one[..., k], two[..., k], data_range=1) for k in layers]
    ssim = [structural_similarity(one[..., k], two[..., k], data_range=1) for k in layers]
    assert found["psnr"] == pytest.approx(np.mean(psnr))
    assert found["ssim"] == pytest.approx(np.mean(ssim))
    assert np.isnan(found["mae"])


def test_slices_are_axial_whatever_the_order_of_the_voxels():
    plain = slices(volume(REAL), volume(OTHER), volume(MASK))
    turned = np.array([[0, 0, -1.2, 0], [1, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1.0]])
    real, other, mask = (
        Volume(v.transpose(1, 2, 0), Grid((26, 20, 24), turned), "HU") for v in (REAL, OTHER, MASK)
    )
    again = slices(real, other, mask)
    assert again["psnr"] == pytest.approx(plain["psnr"])
    assert again["ssim"] == pytest.approx(plain["ssim"])


def test_slices_count_the_background_as_perfect_and_leave_empty_slices_out():
    flat, half = np.ones((20, 20, 4)), np.zeros((20, 20, 4), np.uint8)
    half[:10, :, :2] = 1
    real = np.where(half > 0, flat, 0)
    found = slices(volume(real), volume(real - 0.1), volume(half))
    assert found["psnr"] == pytest.approx(20 + 10 * np.log10(2))
    assert slices(volume(real), volume(real + 0.1), volume(half))["psnr"] == 100


def test_affine_free_forgives_brightness_and_contrast_and_nothing_else():
    real, mask = volume(REAL), volume(MASK)
    plain = affine_free(real, volume(OTHER), mask)
    again = affine_free(real, volume(0.2 * OTHER - 77), mask)
    negative = affine_free(real, volume(-3 * OTHER), mask)
    for name in ("psnr", "ssim", "ms_ssim", "nmae"):
        assert again[name] == pytest.approx(plain[name], rel=1e-4)
        assert negative[name] == pytest.approx(plain[name], rel=1e-4)
    assert plain["nmi"] == pytest.approx(again["nmi"], rel=1e-2)
    strict = masked3d(real, volume(OTHER), mask)
    assert plain["psnr"] > strict["psnr"]
    assert plain["pearson"] == pytest.approx(strict["pearson"])
    assert plain["psnr"] < 60


def test_affine_frees_error_is_that_of_a_regression():
    inside = MASK > 0
    found = affine_free(volume(REAL), volume(OTHER), volume(MASK))
    fit = np.polynomial.Polynomial.fit(OTHER[inside], REAL[inside], 1)
    rest = REAL[inside] - fit(OTHER[inside])
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(rest**2)), rel=1e-5)
    constant = affine_free(volume(REAL), volume(0 * OTHER), volume(MASK))
    assert constant["rmse"] == pytest.approx(REAL[inside].std(), rel=1e-5)
