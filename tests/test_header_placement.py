"""Placement: what the NIfTI standard allows is used where it says; what is refused is told truly.

The oracle is nibabel, given the same numbers in the form that it accepts: `qfac` 1, length 1.
"""

from __future__ import annotations

import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bad_scans import PIXDIM, QFORM_CODE, SFORM, SFORM_CODE, SLOPE, VALUES, refusal, save
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_synth.prepare.checks import admit_header, read_scan
from bids_synth.spatial.volume import read_grid, read_volume

QUATERNION, OFFSET = 256, 268
NO_SFORM = (SFORM_CODE, "h", 0)
ANGLES = st.floats(-3.1, 3.1)


def rotated(quaternion: np.ndarray, qfac: float) -> np.ndarray:
    """The affine that nibabel gives for a unit quaternion and a `qfac` of 1 or -1."""
    header = nib.Nifti2Header()
    header.set_data_shape((40, 40, 40))
    header["pixdim"][:4] = (qfac, 5, 5, 5)
    for letter, value in zip("bcd", quaternion, strict=True):
        header[f"quatern_{letter}"] = value
    header["qoffset_x"], header["qform_code"] = -90, 1
    return np.asarray(header.get_qform())


def qform_only(path: Path, quaternion: np.ndarray, qfac: float) -> Path:
    return save(
        path,
        sform=NO_SFORM,
        qfac=(PIXDIM, "f", qfac),
        turn=(QUATERNION, "3f", *quaternion),
        shift=(OFFSET, "3f", -90.0, 0.0, 0.0),
    )


@settings(max_examples=30)
@given(st.lists(st.floats(-1, 1), min_size=3, max_size=3), st.sampled_from([0.0, 1.0, -1.0]))
def test_a_qfac_of_0_is_one_of_1(
    tmp_path_factory: pytest.TempPathFactory, direction: list[float], qfac: float
) -> None:
    quaternion = np.array(direction) / max(1.0, 1.2 * float(np.linalg.norm(direction)))
    path = qform_only(tmp_path_factory.mktemp("q") / "a.nii.gz", quaternion, qfac)
    assert admit_header(path) == []
    expected = rotated(quaternion, qfac or 1.0)
    np.testing.assert_allclose(read_grid(path).affine, expected, atol=1e-4)
    volume = read_scan(path, "T1w")
    np.testing.assert_allclose(volume.grid.affine, expected, atol=1e-4)
    np.testing.assert_array_equal(volume.array, VALUES)


@settings(max_examples=40)
@given(
    st.lists(st.floats(-1, 1), min_size=3, max_size=3).filter(lambda v: np.linalg.norm(v) > 0.1),
    st.floats(1e-8, 9e-4),
)
def test_a_quaternion_longer_than_1_by_rounding_is_brought_back(
    tmp_path_factory: pytest.TempPathFactory, direction: list[float], excess: float
) -> None:
    unit = np.array(direction) / np.linalg.norm(direction)
    path = qform_only(tmp_path_factory.mktemp("q") / "a.nii.gz", unit * (1 + excess), 1.0)
    notes = admit_header(path)
    assert all("it is brought back to length 1" in note for note in notes)
    assert bool(notes) == (excess > 1.05e-5) or 0.9e-5 < excess < 1.05e-5
    half_turn = 2 * np.outer(unit, unit) - np.eye(3)
    np.testing.assert_allclose(read_grid(path).affine[:3, :3], 5 * half_turn, atol=0.02)


@pytest.mark.parametrize("length", [1.002, 1.5, 100.0, np.inf, np.nan])
def test_a_quaternion_that_is_none_is_refused_with_its_length(
    length: float, tmp_path: Path
) -> None:
    said = refusal(qform_only(tmp_path / "a.nii.gz", np.array([length, 0, 0]), 1.0), header=True)
    assert "its quaternion" in said
    assert f"has the length {length:.6g}, expected at most 1; convert" in said
    assert "left and right are unknown" not in said


def test_a_qfac_that_readers_take_differently_is_refused_as_such(tmp_path: Path) -> None:
    path = qform_only(tmp_path / "a.nii.gz", np.zeros(3), -2.0)
    assert "its qfac (pixdim[0]) is -2, expected 1 or -1" in refusal(path, header=True)
    with_sform = save(tmp_path / "b.nii.gz", qfac=(PIXDIM, "f", -2.0))
    (note,) = admit_header(with_sform)
    assert note.endswith("left and right are unknown; the sform is used")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_the_qform_serves_where_the_sform_is_no_matrix(bad: float, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", row=(SFORM, "12f", *[bad] * 12))
    (note,) = admit_header(path)
    assert "its sform: " in note
    assert note.endswith("; the qform is used")
    expected = nib.load(save(tmp_path / "b.nii.gz")).affine
    np.testing.assert_allclose(read_grid(path).affine, expected, atol=1e-4)


def test_codes_that_only_the_standard_knows_count(tmp_path: Path) -> None:
    """nibabel drops a code above 5; what is positive is given, by the standard."""
    path = save(
        tmp_path / "a.nii.gz",
        code=(SFORM_CODE, "h", 9),
        other=(QFORM_CODE, "h", 0),
        row=(SFORM, "4f", 5.0, 0.0, 0.0, 12.0),
    )
    assert admit_header(path) == []
    assert read_grid(path).affine[0, 3] == pytest.approx(12.0)


@pytest.mark.parametrize("slope", [np.nan, np.inf])
def test_a_slope_that_is_no_number_is_told(slope: float, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", slope=(SLOPE, "2f", slope, 0.0))
    (note,) = admit_header(path)
    assert note.endswith(f"its scl_slope is {slope:g}; it is taken as none")
    np.testing.assert_array_equal(read_volume(path).array, VALUES)


def test_a_compressed_image_whose_name_does_not_say_so(tmp_path: Path) -> None:
    packed = save(tmp_path / "a.nii.gz")
    plain = packed.rename(tmp_path / "a.nii")
    assert "compressed by gzip, which its name does not say" in refusal(plain, header=True)


def test_big_endian_and_nifti2_headers_lie_where_nibabel_says(tmp_path: Path) -> None:
    affine = np.diag([-5.0, 5.0, 5.0, 1.0])
    affine[:3, 3] = (90, -80, -70)
    for kind in (nib.Nifti1Image, nib.Nifti2Image):
        image = kind(VALUES, affine)
        image.set_qform(affine, code=1)
        image.set_sform(None, code=0)
        path = tmp_path / f"{kind.__name__}.nii"
        image.to_filename(path)
        assert admit_header(path) == []
        np.testing.assert_allclose(read_grid(path).affine, nib.load(path).affine, atol=1e-5)
        np.testing.assert_array_equal(read_volume(path).array, VALUES)
    header = nib.Nifti1Header(endianness=">")
    header.set_data_shape(VALUES.shape)
    header.set_data_dtype(np.int16)
    header.set_sform(affine, code=1)
    header["pixdim"][1:4] = 5
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    big = tmp_path / "big.nii"
    content = header.binaryblock + struct.pack("4x")
    big.write_bytes(content + VALUES.astype(">i2").tobytes(order="F"))
    assert admit_header(big) == []
    np.testing.assert_allclose(read_grid(big).affine, affine)
    np.testing.assert_array_equal(read_volume(big).array, VALUES)
