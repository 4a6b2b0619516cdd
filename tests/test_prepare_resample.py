"""Resampling and the native grid: exact where voxels are shared, in place everywhere."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.processing import resample_from_to
from prepare_phantom import from_native
from scipy import ndimage
from strategies import blob, centre_of, directions, grids, rigid_maps

from bids_synth.core.scale import Scale
from bids_synth.core.visit import Prepared, Visit
from bids_synth.errors import VisitError
from bids_synth.prepare.native import prepared_grid, to_native
from bids_synth.prepare.registration.ants_runtime import ants
from bids_synth.recipe.sections.preparation import GridPart
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.itk import itk_text, parse_itk, read_itk, write_itk
from bids_synth.spatial.resample import crop_pad, resample, same_voxels
from bids_synth.spatial.volume import Volume, write_volume

NOWHERE = Path("nowhere")


def prepared_on(grid: Grid, native: Grid, folder: Path = NOWHERE) -> Prepared:
    return Prepared(
        visit=Visit("01", None, {}),
        reference="T1w",
        native=native,
        grid=grid,
        images={},
        mask=folder / "mask.nii",
        native_mask=folder / "native_mask.nii",
        transforms={},
        template=NOWHERE,
        scales={"T1w": Scale(0, 1)},
        quality={},
        stripped=False,
        key="",
    )


@contextmanager
def masked(grid: Grid, mask: Volume):
    """A visit on `grid` with this mask on its native grid, and the same on the prepared one."""
    with tempfile.TemporaryDirectory() as name:
        prepared = prepared_on(grid, mask.grid, Path(name))
        write_volume(mask, prepared.native_mask)
        share = resample(mask.with_array(mask.array.astype(np.float32)), grid)
        write_volume(share.with_array((share.array > 0.5).astype(np.uint8)), prepared.mask)
        yield prepared


def ball(volume: Volume) -> Volume:
    """The voxels that a blob reaches, as the mask of its visit."""
    return volume.with_array((volume.array > 0.02).astype(np.uint8))


@st.composite
def visits(draw: st.DrawFn) -> tuple[Volume, GridPart]:
    """A landmark wider than any voxel, and a recipe's grid."""
    sizes = [draw(st.floats(0.5, 5.0)) for _ in range(3)]
    part = GridPart(spacing=draw(st.floats(0.7, 4.0)), margin=draw(st.floats(0, 10)))
    width = 1.2 * max(*sizes, part.spacing)
    affine = np.eye(4)
    affine[:3, :3] = draw(directions()) * sizes
    affine[:3, 3] = [draw(st.floats(-100, 100)) for _ in range(3)]
    i, j, k = (int(np.ceil(10 * width / s)) for s in sizes)
    grid = Grid((i, j, k), affine)
    middle = grid.to_mm((np.asarray(grid.shape) - 1) / 2)
    shift = [draw(st.floats(-1, 1)) * width for _ in range(3)]
    return blob(grid, middle + shift, width), part


@settings(max_examples=30, deadline=None)
@given(visits())
def test_round_trip_moves_a_landmark_less_than_half_a_voxel(case):
    native, part = case
    with masked(prepared_grid(ball(native), part), ball(native)) as prepared:
        there = from_native(native, prepared)
        back = to_native(there, prepared)
    assert back.grid.matches(native.grid, tolerance=1e-5)
    assert there.grid.orientation == native.grid.canonical().orientation
    # In voxels of each axis: a margin of 0 cuts off the landmark's rim on the coarsest one.
    at, *others = (native.grid.to_index(centre_of(v)) for v in (native, there, back))
    assert all(np.abs(other - at).max() < 0.5 for other in others)


@settings(max_examples=30, deadline=None)
@given(grids(side=20.0), st.floats(0, 8), st.floats(0.9905, 1.0095), st.randoms())
def test_shared_voxels_are_not_interpolated(grid, margin, stretch, random):
    spacing = float(np.clip(grid.spacing[0] * stretch, 0.5, 8))
    affine = grid.affine.copy()
    affine[:3, :3] *= spacing / stretch / np.asarray(grid.spacing)
    native = Grid(grid.shape, affine)
    values = np.random.default_rng(random.randrange(2**32)).normal(size=native.shape)
    image = Volume(values.astype(np.float32), native)
    mask = np.zeros(native.shape, np.uint8)
    mask[1:-1, 1:-1, 1:-1] = 1
    part = GridPart(spacing=spacing, margin=margin)
    held = image.with_array(mask)
    with masked(prepared_grid(held, part), held) as prepared:
        back = to_native(from_native(image, prepared), prepared, background=-7)
    assert back.grid.matches(native, tolerance=0)
    kept = back.array != -7
    np.testing.assert_array_equal(kept, mask > 0)
    np.testing.assert_array_equal(back.array[kept], image.array[kept])


@settings(max_examples=30, deadline=None)
@given(grids(side=24.0), st.floats(0.7, 4), st.floats(0, 12))
def test_the_prepared_grid_holds_the_mask_and_its_margin(grid, spacing, margin):
    mask = np.zeros(grid.shape, np.uint8)
    mask[tuple(slice(n // 3, n // 3 + max(1, n // 3)) for n in grid.shape)] = 1
    part = GridPart(spacing=spacing, margin=margin)
    found = prepared_grid(Volume(mask, grid), part)
    inside = found.to_index(grid.to_mm(np.argwhere(mask)))
    assert (inside > -0.51).all()
    assert (inside < np.asarray(found.shape) - 0.49).all()
    faces = grid.to_index(found.to_mm([[-0.5] * 3, np.asarray(found.shape) - 0.5]))
    slack = found.spacing[0] / np.asarray(grid.spacing).min() + 0.01
    assert (faces > -0.5 - slack).all()
    assert (faces < np.asarray(grid.shape) - 0.5 + slack).all()


def test_an_empty_mask_has_no_grid():
    empty = Volume(np.zeros((4, 4, 4), np.uint8), Grid((4, 4, 4), np.eye(4)))
    with pytest.raises(VisitError, match="no brain"):
        prepared_grid(empty, GridPart())


def test_a_volume_elsewhere_is_refused():
    grid = Grid((6, 6, 6), np.eye(4))
    prepared = prepared_on(grid, Grid((6, 6, 6), np.diag([2.0, 2, 2, 1])))
    with pytest.raises(ValueError, match="expected a volume on"):
        to_native(Volume(np.zeros((6, 6, 6), np.float32), prepared.native), prepared)


@pytest.mark.parametrize("order", [1, 3])
@settings(max_examples=25, deadline=None)
@given(case=st.data())
def test_interpolation_agrees_with_nibabel(order, case):
    source = case.draw(grids(spacing=(1.0, 2.5), side=50.0))
    middle = source.to_mm((np.asarray(source.shape) - 1) / 2)
    sizes = np.array([case.draw(st.floats(0.5, 1.0)) for _ in range(3)]) * min(source.spacing)
    affine = np.eye(4)
    affine[:3, :3] = case.draw(directions()) * sizes
    affine[:3, 3] = middle - affine[:3, :3] @ [3, 3, 3]
    target = Grid((7, 7, 7), affine)
    image = blob(source, middle + 1, 4.0)  # fades before the edge, where conventions differ
    wanted = resample_from_to(
        nib.Nifti1Image(image.array, source.affine), (target.shape, affine), order=order
    ).get_fdata()
    found = resample(image, target, order=order).array
    np.testing.assert_allclose(found, np.clip(wanted, 0, image.array.max()), atol=2e-3)


@settings(max_examples=25, deadline=None)
@given(grids(spacing=(0.8, 3.0), side=40.0), rigid_maps(shift=5, turn=20))
def test_a_transform_moves_as_it_says_and_its_inverse_brings_back(grid, matrix):
    middle = grid.to_mm((np.asarray(grid.shape) - 1) / 2)
    about = np.eye(4)
    about[:3, 3] = middle
    matrix = about @ matrix @ np.linalg.inv(about)
    image = blob(grid, middle + np.array([2, -1, 1]), 4.0)
    moved = resample(image, grid, transform=matrix, order=3)
    expected = np.linalg.inv(matrix) @ [*centre_of(image), 1]
    np.testing.assert_allclose(centre_of(moved), expected[:3], atol=0.15)
    back = resample(moved, grid, transform=np.linalg.inv(matrix), order=3)
    np.testing.assert_allclose(centre_of(back), centre_of(image), atol=0.2)


def test_cubic_interpolation_never_overshoots():
    step = np.zeros((12, 12, 12), np.float32)
    step[6:] = 100
    volume = Volume(step, Grid(step.shape, np.eye(4)))
    fine = resample(volume, volume.grid.with_spacing(0.37), order=3).array
    assert fine.min() >= 0
    assert fine.max() <= 100
    raw = ndimage.zoom(step, 2.7, order=3)
    assert raw.max() > 101  # so the clamp has something to do


def test_what_lies_outside_is_background():
    volume = Volume(np.ones((4, 4, 4), np.float32), Grid((4, 4, 4), np.eye(4)))
    for order in (0, 1, 3):
        wide = resample(volume, volume.grid.with_spacing(0.6).crop([-9] * 3, [16] * 3),
                        order=order, background=-1024)  # fmt: skip
        assert set(np.unique(wide.array)) == {-1024, 1}
        far = Grid((3, 3, 3), np.diag([1.0, 1, 1, 1]) + np.eye(4, k=3) * 500)
        assert (resample(volume, far, order=order, background=-1024).array == -1024).all()


def test_fine_detail_does_not_alias():
    stripes = np.zeros((60, 8, 8), np.float32)
    stripes[::2] = 1
    volume = Volume(stripes, Grid(stripes.shape, np.eye(4)))
    coarse = resample(volume, volume.grid.with_spacing([4, 1, 1])).array
    assert coarse[2:-2].std() < 0.05
    assert coarse[2:-2].mean() == pytest.approx(0.5, abs=0.05)


def test_masks_stay_masks():
    mask = Volume(
        (np.arange(64).reshape(4, 4, 4) % 3 == 0).astype(np.uint8), Grid((4,) * 3, np.eye(4))
    )
    found = resample(mask, mask.grid.with_spacing(0.7), order=0).array
    assert found.dtype == np.uint8
    assert set(np.unique(found)) == {0, 1}


@settings(deadline=None)
@given(grids(), st.tuples(*[st.integers(-3, 3)] * 3), st.tuples(*[st.integers(5, 9)] * 3))
def test_cropped_grids_share_voxels(grid, start, shape):
    part = grid.crop(start, [a + n for a, n in zip(start, shape, strict=True)])
    assert same_voxels(grid, part) == start
    nudged = part.affine.copy()
    nudged[:3, 3] += 0.01 * grid.affine[:3, 0]
    assert same_voxels(grid, Grid(part.shape, nudged)) is None
    stretched = part.affine.copy()
    stretched[:3, 0] *= 1.0005
    assert same_voxels(grid, Grid(part.shape, stretched)) is None


@given(st.tuples(*[st.integers(-3, 3)] * 3), st.tuples(*[st.integers(1, 6)] * 3))
def test_crop_pad_is_undone_by_its_opposite(start, shape):
    array = np.random.default_rng(0).normal(size=(4, 5, 3))
    part = crop_pad(array, start, shape, fill=np.nan)
    back = crop_pad(part, tuple(-a for a in start), array.shape, fill=np.nan)
    kept = np.isfinite(back)
    np.testing.assert_array_equal(back[kept], array[kept])
    wide = crop_pad(array, (-3, -3, -3), (10, 11, 9), fill=0)
    np.testing.assert_array_equal(crop_pad(wide, (3, 3, 3), array.shape, fill=0), array)


@given(rigid_maps())
def test_itk_text_round_trip(matrix):
    np.testing.assert_allclose(parse_itk(itk_text(matrix)), matrix, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(rigid_maps(), st.tuples(*[st.floats(-50, 50)] * 3))
def test_itk_text_means_the_same_to_ants(matrix, point):
    with tempfile.TemporaryDirectory() as folder:
        path = write_itk(matrix, Path(folder) / "x.txt")
        lps = ants.read_transform(str(path)).apply_to_point((-point[0], -point[1], point[2]))
    ours = matrix @ [*point, 1]
    np.testing.assert_allclose([-lps[0], -lps[1], lps[2]], ours[:3], atol=1e-3)


def test_a_centre_of_rotation_is_understood():
    text = (
        "#Insight Transform File V1.0\n#Transform 0\n"
        "Transform: MatrixOffsetTransformBase_double_3_3\n"
        "Parameters: 0 -1 0 1 0 0 0 0 1 0 0 0\nFixedParameters: 10 0 0\n"
    )
    matrix = parse_itk(text)  # a quarter turn about (10, 0, 0) LPS
    np.testing.assert_allclose(matrix @ [-10, 0, 0, 1], [-10, 0, 0, 1], atol=1e-12)


@pytest.mark.parametrize("text", ["", "Parameters: 1 2 3\n", "binary\0"])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(VisitError, match=r"x\.txt.*not a linear ITK"):
        read_itk(tmp_path / "x.txt")
