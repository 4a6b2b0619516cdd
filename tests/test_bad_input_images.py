"""Bad images: what is no NIfTI, half of one, or holds no picture, is refused in one line."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bad_scans import AFFINE, DATATYPE, DIM, MAGIC, SLOPE, VALUES, refusal, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bids_synth.errors import VisitError
from bids_synth.prepare.checks import admit_header, admit_scans, read_scan
from bids_synth.spatial.volume import read_volume

WHOLE = nib.Nifti1Image(VALUES, AFFINE).to_bytes()
PACKED = gzip.compress(WHOLE, 1)
DAMAGED = PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:]
"""Every voxel can be read, but the checksum behind them is of other data."""

BROKEN = {
    "truncated gzip": ("a.nii.gz", PACKED[:20_000], False, "voxels cannot be read"),
    "truncated in the header": ("a.nii.gz", PACKED[:60], True, "not a readable NIfTI"),
    "truncated, not compressed": ("a.nii", WHOLE[:20_000], False, "voxels cannot be read"),
    "damaged gzip": ("a.nii.gz", DAMAGED, False, "is damaged (CRC check failed"),
    "empty file": ("a.nii.gz", b"", True, "ends after 0 bytes"),
    "gzip of nothing": ("a.nii.gz", gzip.compress(b""), True, "ends after 0 bytes"),
    "text": ("a.nii.gz", b"this is no NIfTI", True, "not a readable NIfTI"),
    "not compressed as it says": ("a.nii.gz", WHOLE, True, "Not a gzipped file"),
    "compressed though it does not say so": ("a.nii", PACKED, True, "length of a header"),
    "header only": ("a.nii", WHOLE[:300], True, "within its header"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_files_that_are_no_whole_nifti(fault: str, tmp_path: Path) -> None:
    name, content, header, words = BROKEN[fault]
    path = tmp_path / name
    path.write_bytes(content)
    said = refusal(path, header=header)
    assert words in said
    assert "replace the file" in said


FIELDS = {
    "wrong magic": ((MAGIC, "4s", b"abc9"), "its magic is b'abc9', expected b'n+'"),
    "wrong length of header": ((0, "i", 999), "expected the length of a header, 348 or 540"),
    "type of voxel unknown": ((DATATYPE, "h", 999), "of an unknown type"),
    "one bit a voxel": ((DATATYPE, "h", 1), "of an unknown type"),
    "no axis": ((DIM, "h", 0), "expected a 3D image, got shape ()"),
    "nine axes": ((DIM, "h", 9), "expected a 3D image"),
    "negative length": ((DIM, "4h", 3, -40, 40, 40), "expected a 3D image"),
    "length zero": ((DIM, "4h", 3, 40, 0, 40), "expected a 3D image"),
}


@pytest.mark.parametrize("fault", FIELDS)
def test_headers_that_say_nonsense(fault: str, tmp_path: Path) -> None:
    field, words = FIELDS[fault]
    assert words in refusal(save(tmp_path / "a.nii.gz", field=field), header=True)


def test_four_dimensions_are_refused_and_a_trailing_axis_of_one_is_not(tmp_path: Path) -> None:
    many = save(tmp_path / "many.nii.gz", np.stack([VALUES, VALUES], -1))
    assert "got shape (40, 40, 40, 2); split or average it" in refusal(many, header=True)
    one = save(tmp_path / "one.nii.gz", VALUES[..., None])
    np.testing.assert_array_equal(read_scan(one, "T1w").array, VALUES)


@pytest.mark.parametrize("count", [1, 4])
def test_an_image_of_few_slices_is_no_volume(count: int, tmp_path: Path) -> None:
    path = save(tmp_path / "slice.nii.gz", VALUES[:, :, :count])
    assert f"has only {count} slice(s), expected a volume" in refusal(path, header=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_number_are_counted(value: float, tmp_path: Path) -> None:
    array = VALUES.astype(np.float32)
    array[3, 4, 5:7] = value
    said = refusal(save(tmp_path / "a.nii.gz", array), header=False)
    assert "2 of 64,000 voxels are NaN or infinite" in said
    assert "set them to" in said


def test_numbers_too_large_for_float32_are_told_not_kept(tmp_path: Path) -> None:
    array = VALUES.astype(np.float64)
    array[0, 0, 0] = 1e300
    assert "1 of 64,000" in refusal(save(tmp_path / "a.nii.gz", array), header=False)


@pytest.mark.parametrize("value", [0, 7])
def test_an_image_without_a_picture(value: int, tmp_path: Path) -> None:
    path = save(tmp_path / "flat.nii.gz", np.full_like(VALUES, value))
    assert f"all voxels are {value}, expected an image" in refusal(path, header=False)


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float64"])
def test_scaling_is_applied_to_numbers_of_any_type(kind: str, tmp_path: Path) -> None:
    stored = (VALUES % 250).astype(kind)
    path = save(tmp_path / "a.nii.gz", stored, slope=(SLOPE, "2f", 0.25, -3.0))
    read = read_scan(path, "T1w").array
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, stored.astype(np.float64) * 0.25 - 3.0, rtol=1e-6)
    assert len(np.unique(read)) == 250


def test_a_slope_of_zero_means_no_scaling(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", slope=(SLOPE, "2f", 0.0, 5.0))
    np.testing.assert_array_equal(read_scan(path, "T1w").array, VALUES)


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(
    ("array", "words"),
    [(VALUES.astype(np.complex64), "complex"), (np.zeros(VALUES.shape, RGB), "colours")],
)
def test_complex_and_colour_images(array: np.ndarray, words: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", array)
    assert f"its voxels are {words}; expected one real number in each" in refusal(
        path, header=True
    )
    with pytest.raises(VisitError, match="complex or colour"):
        read_volume(path)


def test_a_big_endian_image_is_read_as_any_other(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    image = nib.Nifti1Image(VALUES.astype(">i2"), AFFINE, header)
    image.to_filename(tmp_path / "a.nii.gz")
    assert (tmp_path / "a.nii.gz").exists()
    np.testing.assert_array_equal(read_scan(tmp_path / "a.nii.gz", "T1w").array, VALUES)


def test_nifti_2_is_read_as_any_other(tmp_path: Path) -> None:
    image = nib.Nifti2Image(VALUES, AFFINE)
    image.set_qform(AFFINE, code=1)
    image.to_filename(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_scan(tmp_path / "a.nii.gz", "T1w").array, VALUES)


def test_all_faults_of_all_scans_of_a_visit_are_told_at_once(tmp_path: Path) -> None:
    flat = save(tmp_path / "flat_T1w.nii.gz", np.zeros_like(VALUES))
    cut = tmp_path / "cut_T2w.nii.gz"
    cut.write_bytes(PACKED[:20_000])
    good = save(tmp_path / "good_PDw.nii.gz")
    many = save(tmp_path / "many.nii.gz", np.stack([VALUES] * 2, -1))
    with pytest.raises(VisitError) as told:
        admit_scans({"T1w": flat, "PDw": good, "T2w": cut, "FLAIR": many})
    for words in ("flat_T1w.nii.gz: all voxels are 0", "cut_T2w.nii.gz: its voxels", "many.nii"):
        assert words in str(told.value)
    assert "good_PDw" not in str(told.value)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), max_size=6),
    length=st.integers(0, 2000),
)
def test_no_header_whatever_makes_more_than_one_line(
    tmp_path: Path, changes: list[tuple[int, int]], length: int
) -> None:
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place] = value
    path = tmp_path / "a.nii"
    path.write_bytes(content if length > 1000 else content[:length])
    said = str(path)
    try:
        admit_header(path)
        read_scan(path, "T1w")
    except VisitError as error:
        said = str(error)
    assert "\n" not in said
    assert str(path) in said
