"""Spikes and wrapped integers: away from them everything is as if they had never been."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepare_phantom import make_scan
from scipy import ndimage

from bids_synth.errors import VisitError
from bids_synth.prepare.checks import look_at_voxels, read_scan
from bids_synth.prepare.outliers import mend, outliers
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume, read_volume, write_volume

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
REAL = sorted((SHARED / "data").glob("*/sub-*/**/*.nii.gz"))
HEAD = make_scan("T1w", spacing=4.0, stripped=False)


def spiked(volume: Volume, places: np.ndarray, value: float) -> Volume:
    array = volume.array.copy()
    array[tuple(places.T)] = value
    return volume.with_array(array)


def some_places(seed: int, count: int, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, n, count) for n in shape], axis=1)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 12),
    value=st.sampled_from([32767.0, -32768.0, 5000.0, 1e6]),
    gain=st.sampled_from([1.0, 0.01, 50.0]),
    offset=st.sampled_from([0.0, -1000.0, 30.0]),
)
def test_spikes_are_held_back_and_nothing_else_changes(seed, count, value, gain, offset):
    plain = HEAD.with_array((HEAD.array * gain + offset).astype(np.float32))
    places = some_places(seed, count, plain.array.shape)
    hurt = spiked(plain, places, value * gain + offset)
    healed = mend(hurt, step=None)
    away = np.ones(plain.array.shape, bool)
    away[tuple(places.T)] = False
    np.testing.assert_array_equal(healed.volume.array[away], plain.array[away])
    assert healed.held == (~away).sum()
    bounds = plain.array.min(), plain.array.max()
    assert bounds[0] <= healed.volume.array.min() <= healed.volume.array.max() <= bounds[1]


def test_a_row_of_rubbish_at_the_edge_is_held_back():
    array = HEAD.array.copy()
    array[:, 0, 3] = 20000
    array[-1] = 30000
    healed = mend(HEAD.with_array(array), step=None)
    assert healed.held == HEAD.array.shape[0] + HEAD.array[0].size - 1
    assert healed.volume.array.max() <= HEAD.array.max()


@pytest.mark.real
@pytest.mark.parametrize("path", REAL, ids=lambda p: p.name)
def test_no_voxel_of_a_real_image_is_an_outlier(path: Path):
    volume = read_volume(path, unit="arbitrary" if path.parent.name == "anat" else "other")
    assert not outliers(volume).any()


@pytest.mark.parametrize("unit", ["arbitrary", "SUV", "HU"])
def test_what_spreads_as_images_do_is_no_outlier(unit: str):
    """A vessel or lesion, ten times brighter, with a point-spread of a voxel."""
    x = np.stack(np.meshgrid(*[np.arange(30.0)] * 3, indexing="ij"), -1)
    spot = np.exp(-0.5 * ((x - 15) ** 2).sum(-1) / 0.85**2)
    base = np.random.default_rng(0).normal(100, 5, spot.shape)
    volume = Volume((base + 1000 * spot).astype(np.float32), Grid((30, 30, 30), np.eye(4)), unit)
    assert not outliers(volume).any()


def wrapped(volume: Volume, kind: type, top: float) -> np.ndarray:
    """Unsigned numbers up to `top`, read as signed ones of the same width."""
    unsigned = np.dtype(kind).str.replace("i", "u")
    values = (volume.array / volume.array.max() * top).astype(unsigned)
    return values.view(kind)


@pytest.mark.parametrize("blur", [0.0, 1.5])
@pytest.mark.parametrize(("kind", "top"), [(np.int16, 65000), (np.int16, 45000), (np.int8, 250)])
def test_unsigned_numbers_stored_as_signed_are_never_believed(tmp_path, kind, top, blur):
    """Unwrapped where that makes a smoother image, refused elsewhere; told by name in both."""
    head = HEAD.with_array(ndimage.gaussian_filter(HEAD.array, blur) if blur else HEAD.array)
    values = wrapped(head, kind, top)
    path = tmp_path / "sub-01_T1w.nii.gz"
    nib.Nifti1Image(values, HEAD.grid.affine).to_filename(path)
    share = round(100 * (values < 0).mean())
    words = (
        f"{path}: {share} % of the voxels are negative next to the brightest ones: unsigned "
        "numbers stored as signed?"
    )
    read = None
    try:
        read = look_at_voxels(path, "T1w")
        notes = list(read.mended.notes)
    except VisitError as error:
        notes = [str(error)]
    assert any(words in note for note in notes)
    if read is not None:
        unsigned = values.view(values.dtype.str.replace("i", "u"))
        np.testing.assert_array_equal(read.volume.array, unsigned)


def test_wrapped_numbers_of_which_no_image_can_be_made_fail_by_name(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "sub-01_T1w.nii.gz"
    values = rng.integers(-32768, 32767, (40, 40, 40)).astype(np.int16)
    nib.Nifti1Image(values, np.diag([5, 5, 5, 1])).to_filename(path)
    with pytest.raises(VisitError, match=r"T1w\.nii\.gz: 50 % of the voxels are negative next to"):
        read_scan(path, "T1w")


def test_signed_numbers_are_left_alone(tmp_path):
    """A float image that was saved over the whole range of int16, with slope and intercept."""
    path = tmp_path / "sub-01_T1w.nii.gz"
    image = nib.Nifti1Image(HEAD.array, HEAD.grid.affine)
    image.set_data_dtype(np.int16)
    image.to_filename(path)
    stored = np.asarray(nib.load(path).dataobj.get_unscaled())
    assert stored.min() < -32000 < 32000 < stored.max()
    seen = look_at_voxels(path, "T1w")
    notes = seen.mended.notes
    assert notes == ()
    np.testing.assert_array_equal(seen.volume.array, read_volume(path).array)


def test_a_saturated_image_gets_a_note(tmp_path):
    cut = HEAD.with_array(np.minimum(HEAD.array, np.percentile(HEAD.array, 90)))
    seen = look_at_voxels(write_volume(cut, tmp_path / "a.nii.gz"), "T1w")
    notes = seen.mended.notes
    assert any("10.0 % of the voxels have exactly the largest value" in n for n in notes)


@pytest.mark.skipif(not (SHARED / "cases").is_dir(), reason="no field cases here")
def test_the_field_cases_of_spikes_and_wrapped_numbers():
    hot = next((SHARED / "cases" / "hot-voxels").rglob("*_T1w.nii.gz"))
    seen = look_at_voxels(hot, "T1w")
    notes = seen.mended.notes
    assert seen.mended.held == 5
    assert seen.volume.array.max() <= 255
    assert any("5 voxels" in note for note in notes)
    path = next((SHARED / "cases" / "wrapped-int16").rglob("*_T1w.nii.gz"))
    seen = look_at_voxels(path, "T1w")
    notes = seen.mended.notes
    stored = np.asarray(nib.load(path).dataobj)
    np.testing.assert_array_equal(seen.volume.array, stored.view(np.uint16))
    assert any("27 % of the voxels are negative" in note for note in notes)
