"""Registration: known motions are found, twice the same; real scans agree with published ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies
from prepare_phantom import make_scan, motion, rms_error, truth_mask

from benchmarks.registration import error_of, nearest_rigid
from bids_synth.errors import VisitError
from bids_synth.prepare.registration.ants_runtime import from_image, to_image
from bids_synth.prepare.registration.rigid import Settings, register_rigid
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.resample import resample
from bids_synth.spatial.similarity import correlation, mutual_information
from bids_synth.spatial.volume import Volume, read_volume

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
MOVED = motion((3.0, -4.0, 2.5), (4.0, -3.0, 5.0))


@pytest.mark.parametrize("stripped", [True, False])
def test_a_known_motion_is_found(stripped):
    reference = make_scan("T1w", spacing=2.0, stripped=stripped, seed=1)
    moving = make_scan("T2w", spacing=2.0, stripped=stripped, moved=MOVED, seed=2)
    mask = truth_mask(2.0)
    found = register_rigid(reference, moving, mask, spacing=2.0, seed=1)
    assert rms_error(np.eye(4), MOVED, mask) > 5
    assert rms_error(found, MOVED, mask) < 0.5
    np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-5)


def test_the_same_inputs_give_the_same_bits():
    reference, moving = make_scan("T1w", spacing=4.0), make_scan("T2w", spacing=4.0, moved=MOVED)
    mask = truth_mask(4.0)
    once, twice = (register_rigid(reference, moving, mask, spacing=4.0, seed=7) for _ in range(2))
    assert once.tobytes() == twice.tobytes()


def test_a_lost_origin_is_recovered_from_the_centres():
    reference, moved = make_scan("T1w", spacing=4.0), make_scan("T2w", spacing=4.0)
    shift = np.eye(4)
    shift[:3, 3] = [130.0, -90.0, 120.0]
    moving = Volume(moved.array, Grid(moved.grid.shape, shift @ moved.grid.affine))
    found = register_rigid(reference, moving, truth_mask(4.0), spacing=4.0, seed=1)
    assert rms_error(found, shift, truth_mask(4.0)) < 1.0


def test_an_image_of_a_corner_only_is_refused():
    reference, whole = make_scan("T1w", spacing=4.0), make_scan("T2w", spacing=4.0)
    corner = resample(whole, whole.grid.crop((0, 0, 0), (12, 12, 12)))
    with pytest.raises(VisitError, match="does not overlap"):
        register_rigid(reference, corner, truth_mask(4.0), spacing=4.0, seed=1)


def test_images_travel_to_ants_and_back():
    grid = Grid((5, 6, 7), motion((1, 2, 3), (10, 20, 30)) @ np.diag([-1.0, 2, 0.7, 1]))
    volume = Volume(np.random.default_rng(0).normal(size=grid.shape).astype(np.float32), grid)
    image = to_image(volume)
    back = from_image(image)
    assert back.grid.matches(grid, tolerance=1e-6)
    np.testing.assert_array_equal(back.array, volume.array)
    there = np.asarray(image.origin) * [-1, -1, 1]
    np.testing.assert_allclose(there, grid.to_mm([0, 0, 0]), atol=1e-6)


def test_mutual_information_is_bounded_and_blind_to_contrast():
    rng = np.random.default_rng(0)
    image, mask = rng.normal(size=(20, 20, 20)), np.ones((20, 20, 20))
    assert mutual_information(image, image, mask) == pytest.approx(2)
    assert mutual_information(image, -3 * image + 7, mask) == pytest.approx(2, abs=0.02)
    assert (
        mutual_information(image, rng.permutation(image.ravel()).reshape(mask.shape), mask) < 1.1
    )
    assert mutual_information(image, np.zeros_like(image), mask) == pytest.approx(1)
    assert mutual_information(image, image, np.zeros_like(mask)) == 1
    assert correlation(image, -image, mask) == pytest.approx(1)
    assert correlation(image, np.zeros_like(image), mask) == 0


@given(strategies.integers(0, 2**32 - 1))
def test_the_rigid_map_nearest_to_a_rigid_one_is_itself_and_no_other_is_nearer(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 50, (60, 3))
    rigid = motion(tuple(rng.uniform(-20, 20, 3)), tuple(rng.uniform(-20, 20, 3)))
    np.testing.assert_allclose(nearest_rigid(rigid, points), rigid, atol=1e-8)
    affine = rigid @ np.diag([*rng.uniform(0.97, 1.03, 3), 1])
    nearest = nearest_rigid(affine, points)
    step = motion(tuple(rng.uniform(-1, 1, 3)), tuple(rng.uniform(-1, 1, 3)))
    for other in (rigid, nearest @ step, step @ nearest):
        assert error_of(nearest, affine, points) <= error_of(other, affine, points) + 1e-9


def test_settings_that_draw_more_voxels_or_none_find_the_same_motion():
    reference, moving = make_scan("T1w", spacing=4.0), make_scan("T2w", spacing=4.0, moved=MOVED)
    mask = truth_mask(4.0)
    for samples in (0, 5000, 10**9):
        settings = Settings(samples=samples)
        found = register_rigid(reference, moving, mask, spacing=4.0, seed=1, settings=settings)
        assert rms_error(found, MOVED, mask) < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_motion_of_1_mm_scans_is_found_within_half_a_millimetre(seed):
    rng = np.random.default_rng(seed)
    moved = motion(tuple(rng.uniform(-5, 5, 3)), tuple(rng.uniform(-5, 5, 3)))
    reference = make_scan("T1w", spacing=1.0, stripped=False, seed=seed, bias=0.3)
    moving = make_scan("T2w", spacing=1.0, stripped=False, moved=moved, seed=seed + 9, bias=0.3)
    mask = truth_mask(1.0)
    found = register_rigid(reference, moving, mask, spacing=2.0, seed=1)
    assert rms_error(found, moved, mask) < 0.5


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("session", ["1", "2"])
@pytest.mark.parametrize("modality", ["T1w", "T2w"])
def test_real_scans_agree_with_the_published_transforms(session, modality):
    """The published maps are affine (up to 1.6 % of scale in the slice direction): compared with
    the rigid map nearest to each, over the brain, in mm."""
    raw = DATA / "ms-raw"
    if not raw.exists():
        pytest.skip(f"real scans are not there: {raw}")
    place = f"sub-01/ses-{session}/anat/sub-01_ses-{session}"
    published = (
        raw
        / "derivatives/published-registration"
        / (f"{place}_from-{modality}_to-FLAIR_mode-image_xfm.txt")
    )
    reference = read_volume(raw / f"{place}_FLAIR.nii.gz")
    moving = read_volume(raw / f"{place}_{modality}.nii.gz")
    mask = brain_of(reference)
    found = register_rigid(reference, moving, mask, spacing=2.0, seed=1)
    points = mask.grid.to_mm(np.argwhere(mask.array > 0))
    truth = nearest_rigid(read_itk(published), points)
    assert rms_error(found, truth, mask) < 0.5


def brain_of(reference: Volume) -> Volume:
    from bids_synth.prepare.brain.template_mask import mask_by_template

    return mask_by_template(reference, seed=1)[0]
