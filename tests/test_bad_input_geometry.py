"""Bad geometry: what leaves a voxel's place unknown is refused; what is only odd just works."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bad_scans import (
    AFFINE,
    PIXDIM,
    QFORM_CODE,
    SFORM,
    SFORM_CODE,
    UNITS,
    VALUES,
    refusal,
    save,
)
from prepare_phantom import MIDDLE, make_scan, truth_mask
from scipy.spatial.transform import Rotation

from bids_synth.prepare import checks as admit
from bids_synth.prepare.checks import admit_header, faults_of, read_scan
from bids_synth.prepare.header import Header
from bids_synth.prepare.registration.rigid import register_rigid
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.placement import Placement
from bids_synth.spatial.volume import Volume, read_grid, write_volume

NONE = {"sform": (SFORM_CODE, "h", 0), "qform": (QFORM_CODE, "h", 0)}


def header(shape: tuple[int, ...], *spacing: float) -> Header:
    affine = np.diag([*spacing, 1.0])
    sizes = (spacing[0], spacing[1], spacing[2])
    return Header(shape, np.dtype(np.int16), sizes, Placement(affine, affine))


def test_without_sform_and_qform_left_and_right_are_unknown(tmp_path: Path) -> None:
    said = refusal(save(tmp_path / "a.nii.gz", **NONE), header=True)
    assert "no valid sform or qform, so that left and right are unknown" in said
    assert "convert it anew" in said


@pytest.mark.parametrize("form", ["sform", "qform"])
def test_either_of_the_two_is_enough(form: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", **{form: NONE[form]})
    assert admit_header(path) == []
    assert read_grid(path).matches(Grid((40, 40, 40), AFFINE), tolerance=1e-4)


def test_two_answers_about_left_and_right_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", row=(SFORM, "4f", -5.0, 0.0, 0.0, 195.0))
    said = refusal(path, header=True)
    assert "its sform (LAS) and qform (RAS) contradict each other" in said


def test_two_answers_about_the_place_are_told_and_the_sform_is_used(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", row=(SFORM, "4f", 5.0, 0.0, 0.0, 12.0))
    (note,) = admit_header(path)
    assert note == (f"{path}: its sform and qform put voxels up to 12 mm apart; the sform is used")
    assert read_grid(path).to_mm([0, 0, 0])[0] == pytest.approx(12.0)


@pytest.mark.parametrize("size", [0.0, -5.0, np.nan, np.inf])
@pytest.mark.parametrize("code", [0, 1])
def test_voxel_sizes_that_are_no_size(size: float, code: int, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", size=(PIXDIM + 8, "f", size), sform=(SFORM_CODE, "h", code))
    said = refusal(path, header=True)
    assert f"has the voxel size 5 x {size:g} x 5 mm; expected positive numbers" in said
    assert "pixdim" in said


def test_a_matrix_that_flattens_the_head(tmp_path: Path) -> None:
    flat = (SFORM, "4f", 0.0, 0.0, 0.0, 0.0)
    path = save(tmp_path / "a.nii.gz", row=flat, qform=NONE["qform"])
    said = refusal(path, header=True)
    assert "no usable grid (its sform: a grid needs an invertible affine" in said
    # The qform still says where every voxel lies: that is no reason to refuse the image.
    path = save(tmp_path / "b.nii.gz", row=flat)
    (note,) = admit_header(path)
    assert note.startswith(f"{path}: its sform: a grid needs an invertible affine")
    assert note.endswith("; the qform is used")
    assert read_grid(path).matches(Grid((40, 40, 40), AFFINE), tolerance=1e-4)


def test_a_field_above_the_budget_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A thousand cubed in a file of 128 kB: only the header can say so in time."""
    path = save(tmp_path / "a.nii.gz", shape=(40, "4h", 3, 1000, 1000, 1000))
    said = refusal(path, header=True)
    assert "(1000, 1000, 1000) are more than 100,000,000 voxels" in said
    assert "crop or downsample it first" in said
    edge = header((464, 464, 464), 1.0, 1.0, 1.0)
    assert faults_of(edge) == []
    assert edge.shape[0] ** 3 <= admit.LARGEST < 465**3


def test_a_whole_body_is_no_head(tmp_path: Path) -> None:
    body = header((128, 128, 450), 4.0, 4.0, 4.0)
    assert faults_of(body) == ["spans 1800 mm, expected a head (at most 600 mm); crop it first"]
    assert faults_of(header((512, 512, 300), 0.5, 0.5, 1.5)) == []


@pytest.mark.parametrize("size", [0.005, 5e-6])
def test_metres_are_told_from_millimetres_by_the_size_of_a_head(
    size: float, tmp_path: Path
) -> None:
    said = refusal(save(tmp_path / "a.nii.gz", affine=np.diag([size] * 3 + [1])), header=True)
    assert "expected a head; give its voxel size in mm" in said or "usable grid" in said


def test_missing_units_are_millimetres_and_wrong_ones_are_told(tmp_path: Path) -> None:
    none = save(tmp_path / "none.nii.gz", unit=(UNITS, "B", 0))
    assert admit_header(none) == []
    assert read_scan(none, "T1w").grid.spacing == (5.0, 5.0, 5.0)
    metre = save(tmp_path / "metre.nii.gz", unit=(UNITS, "B", 1))
    (note,) = admit_header(metre)
    assert "its unit of length is metre; its numbers are taken as mm" in note


def test_flat_voxels_are_prepared_up_to_a_limit() -> None:
    assert faults_of(header((512, 512, 20), 0.4, 0.4, 7.5)) == []
    assert faults_of(header((512, 512, 11), 0.4, 0.4, 15.0)) == []
    (fault,) = faults_of(header((512, 512, 10), 0.4, 0.4, 20.0))
    assert fault == "has voxels of 20 mm, expected at most 15 mm; choose another scan"


def test_a_sheared_image_is_written_with_the_one_form_that_can_say_so(tmp_path: Path) -> None:
    """A gantry that was tilted shears the axes, which a quaternion cannot hold."""
    affine = AFFINE.copy()
    affine[1, 2] = 1.5
    path = write_volume(Volume(VALUES.astype(np.float32), Grid((40, 40, 40), affine)),
                        tmp_path / "a.nii.gz")  # fmt: skip
    assert admit_header(path) == []
    assert int(nib.load(path).header["qform_code"]) == 0
    np.testing.assert_allclose(nib.load(path).affine, affine)


ODD = {
    "left-handed": np.diag([-1.0, 1.0, 1.0]),
    "slices along another axis": np.array([[0, 0, 1.0], [-1, 0, 0], [0, 1, 0]]),
    "oblique": Rotation.from_euler("xyz", [25, -15, 10], degrees=True).as_matrix(),
}


@pytest.mark.parametrize("way", ODD)
def test_left_handed_and_oblique_scans_are_registered_where_they_are(
    way: str, tmp_path: Path
) -> None:
    """The same head sampled on odd grids: registration has nothing to move."""
    from bids_synth.spatial.resample import resample

    still = make_scan("T1w", spacing=6.0, seed=1)
    affine = np.eye(4)
    affine[:3, :3] = ODD[way] * 6.0
    shape = (44, 44, 44)
    affine[:3, 3] = MIDDLE - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    odd = resample(make_scan("T2w", spacing=6.0, seed=2), Grid(shape, affine))
    path = write_volume(odd, tmp_path / "a.nii.gz")
    assert admit_header(path) == []
    mask = truth_mask(6.0)
    found = register_rigid(still, read_scan(path, "T2w"), mask, spacing=6.0, seed=1)
    points = mask.grid.to_mm(np.argwhere(mask.array > 0))
    gap = (found - np.eye(4))[:3]
    assert np.abs(points @ gap[:, :3].T + gap[:, 3]).max() < 2.5
