"""Grid: nibabel agrees, and every step of geometry has its way back."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ORIENTATIONS, grids

from bids_synth.spatial.grid import Grid, inverse, reorient
from bids_synth.spatial.volume import Volume


def numbered(grid: Grid) -> np.ndarray:
    return np.arange(np.prod(grid.shape), dtype=np.float32).reshape(grid.shape)


@given(grids())
def test_canonical_is_what_nibabel_makes(grid):
    image = nib.as_closest_canonical(nib.Nifti1Image(numbered(grid), grid.affine))
    ours = Volume(numbered(grid), grid).canonical()
    assert ours.grid.matches(Grid(image.shape, image.affine), tolerance=1e-9)
    np.testing.assert_array_equal(ours.array, image.get_fdata())


@given(grids())
def test_reorient_is_undone_by_itself(grid):
    array, canonical = numbered(grid), grid.canonical()
    there = reorient(array, grid, canonical)
    np.testing.assert_array_equal(reorient(there, canonical, grid), array)


@given(grids())
def test_voxels_keep_their_place_when_reordered(grid):
    array, canonical = numbered(grid), grid.canonical()
    there = reorient(array, grid, canonical)
    for value in (0.0, float(array.size - 1), float(array.size // 2)):
        before = grid.to_mm(np.argwhere(array == value)[0])
        after = canonical.to_mm(np.argwhere(there == value)[0])
        np.testing.assert_allclose(before, after, atol=1e-9)


@given(grids(), st.tuples(*[st.floats(-20, 20)] * 3))
def test_index_and_mm_are_inverse(grid, index):
    np.testing.assert_allclose(grid.to_index(grid.to_mm(index)), index, atol=1e-8)


@given(grids(), st.floats(0.5, 5))
def test_new_spacing_keeps_centre_axes_and_covers_the_field(grid, spacing):
    new = grid.with_spacing(spacing)
    np.testing.assert_allclose(new.spacing, spacing, rtol=1e-9)
    middle = [(np.asarray(g.shape) - 1) / 2 for g in (grid, new)]
    np.testing.assert_allclose(grid.to_mm(middle[0]), new.to_mm(middle[1]), atol=1e-9)
    turn = new.affine[:3, :3] / spacing - grid.affine[:3, :3] / np.asarray(grid.spacing)
    assert np.abs(turn).max() < 1e-9
    extent = np.asarray(new.shape) * spacing - np.asarray(grid.shape) * np.asarray(grid.spacing)
    assert (extent > -0.002 * spacing).all()
    assert (extent < spacing).all()


@given(grids(), st.tuples(*[st.integers(-4, 4)] * 3), st.tuples(*[st.integers(1, 6)] * 3))
def test_crop_moves_no_voxel(grid, start, shape):
    stop = [a + n for a, n in zip(start, shape, strict=True)]
    part = grid.crop(start, stop)
    assert part.shape == shape
    moved = grid.to_mm(np.add(start, [0, 1, 2]))
    np.testing.assert_allclose(part.to_mm([0, 1, 2]), moved, atol=1e-9)
    back = part.crop([-a for a in start], [n - a for a, n in zip(start, grid.shape, strict=True)])
    assert back.matches(grid, tolerance=1e-9)


@given(grids())
def test_inverse_undoes_an_affine(grid):
    np.testing.assert_allclose(inverse(grid.affine) @ grid.affine, np.eye(4), atol=1e-9)


def test_the_48_orientations_are_told_apart():
    codes = {
        Grid(
            (2, 2, 2), np.block([[np.eye(3)[:, list(o)] * s, np.zeros((3, 1))], [0, 0, 0, 1]])
        ).orientation
        for o, s in ORIENTATIONS
    }
    assert len(codes) == 48


@pytest.mark.parametrize(
    ("shape", "affine", "word"),
    [
        ((2, 2, 0), np.eye(4), "positive lengths"),
        ((2, 2), np.eye(4), "three"),
        ((2, 2, 2), np.eye(3), "4x4"),
        ((2, 2, 2), np.diag([1, 1, 0, 1]), "invertible"),
        ((2, 2, 2), np.diag([1, 1, np.nan, 1]), "finite"),
    ],
)
def test_impossible_grids_are_refused(shape, affine, word):
    with pytest.raises(ValueError, match=word):
        Grid(shape, affine)


def test_reorient_refuses_other_voxels():
    one, other = Grid((2, 3, 4), np.eye(4)), Grid((2, 3, 5), np.eye(4))
    with pytest.raises(ValueError, match="not the same voxels"):
        reorient(np.zeros((2, 3, 4)), one, other)
