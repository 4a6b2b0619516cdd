"""The same head on another grid, or with other numbers, has the same brain."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from prepare_phantom import dice, make_scan, truth_mask
from scipy.spatial.transform import Rotation

from bids_synth.prepare.brain.region import world_copy
from bids_synth.prepare.brain.template_mask import mask_by_template
from bids_synth.prepare.checks import read_scan
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume, read_mask

CASES = Path(__file__).resolve().parent.parent.parent / "shared" / "cases"
SPACING = 3.0
SAME = 0.98


@cache
def head() -> Volume:
    return make_scan("T1w", spacing=SPACING, stripped=False)


@cache
def plain() -> Volume:
    return mask_by_template(head(), seed=1)[0]


def tilted(volume: Volume, degrees: tuple[float, float, float]) -> Volume:
    """The same head, at the same place of the world, on a grid turned about its middle."""
    grid = volume.grid
    turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    corners = grid.to_mm([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
                         * (np.array(grid.shape) - 1))  # fmt: skip
    middle = corners.mean(0)
    turned = (corners - middle) @ turn
    shape = np.ceil(np.ptp(turned, axis=0) / SPACING).astype(int) + 1
    affine = np.eye(4)
    affine[:3, :3] = turn * SPACING
    affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
    return resample(volume, Grid(tuple(shape), affine), order=3)


def agreement(mask: Volume) -> float:
    """Dice with the plain head's mask, in the world."""
    smooth = mask.with_array(mask.array.astype(np.float32))
    return dice(resample(smooth, plain().grid).array > 0.5, plain().array)


@pytest.mark.parametrize("shift", [0.0, 1e-7])
def test_a_copy_along_the_axes_of_the_world_is_the_same_from_any_grid(shift: float):
    one = world_copy(head(), 4.0)
    oblique = tilted(head(), (45.0 + shift, 0.0, 0.0))
    other = resample(world_copy(oblique, 4.0), one.grid)
    inside = resample(truth_mask(SPACING), one.grid, order=0).array > 0
    assert np.corrcoef(one.array[inside], other.array[inside])[0, 1] > 0.97
    offset = (one.grid.affine[:3, 3] - world_copy(oblique, 4.0).grid.affine[:3, 3]) / 4.0
    np.testing.assert_allclose(offset, np.rint(offset))


def test_flipped_axes_and_other_numbers_change_nothing():
    moved = head().array.transpose(2, 0, 1)[:, ::-1]
    affine = head().grid.affine @ np.array(
        [[0, -1, 0, head().grid.shape[0] - 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]]
    )
    grid = Grid(moved.shape, affine)
    found, _ = mask_by_template(Volume((moved * 7 - 500).astype(np.float32), grid), seed=1)
    assert agreement(found) > SAME


@pytest.mark.slow
def test_a_margin_of_air_changes_nothing():
    wide = head().grid.crop([-12, -20, -8], [n + 9 for n in head().grid.shape])
    found, _ = mask_by_template(resample(head(), wide), seed=1)
    assert agreement(found) > SAME


@pytest.mark.slow
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("angle", [10.0, 20.0, 30.0, 45.0, 45.0000001])
def test_a_tilted_grid_has_the_same_mask(axis: int, angle: float):
    degrees = tuple(angle if a == axis else 0.0 for a in range(3))
    found, _ = mask_by_template(tilted(head(), degrees), seed=1)
    assert agreement(found) > SAME
    truth = resample(truth_mask(SPACING), found.grid, order=0)
    assert dice(found.array, truth.array) > dice(plain().array, truth_mask(SPACING).array) - 0.02


@pytest.mark.slow
@pytest.mark.skipif(not (CASES / "oblique-30").is_dir(), reason="no field cases here")
def test_the_field_case_of_an_oblique_head():
    path = next((CASES / "oblique-30").rglob("*_T1w.nii.gz"))
    found, _ = mask_by_template(read_scan(path, "T1w"), seed=1)
    truth = resample(read_mask(CASES / "oblique-30" / "truth_mask.nii.gz"), found.grid, order=0)
    assert dice(found.array, truth.array) > 0.92
