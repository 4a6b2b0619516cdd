"""Coverage: what a scan shows of a mask, whatever the axis, the share, and how it was cut."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepare_phantom import make_scan, truth_mask

from bids_synth.prepare.coverage import coverage, share_of
from bids_synth.prepare.workflow.steps import resample_scan
from bids_synth.recipe.sections.preparation import PreparationPart
from bids_synth.spatial.grid import Grid, inverse
from bids_synth.spatial.itk import write_itk
from bids_synth.spatial.volume import Volume, read_mask, write_volume

SPACING = 4.0
MASK = truth_mask(SPACING)
INSIDE = MASK.array > 0
SCANS = {
    stripped: make_scan("T2w", spacing=SPACING, stripped=stripped) for stripped in (True, False)
}


def part_of(axis: int, share: float, *, upper: bool) -> tuple[slice, slice, slice]:
    """The slab, from one end along an axis, that holds about a share of the mask."""
    others = tuple(n for n in range(3) if n != axis)
    summed = np.cumsum(INSIDE.sum(axis=others)) / INSIDE.sum()
    cut = int(np.searchsorted(summed, 1 - share if upper else share)) + 1
    slices = [slice(None)] * 3
    slices[axis] = slice(cut, None) if upper else slice(0, cut)
    return slices[0], slices[1], slices[2]


def cropped(scan: Volume, slab) -> Volume:
    start = [s.start or 0 for s in slab]
    stop = [n if s.stop is None else s.stop for s, n in zip(slab, scan.grid.shape, strict=True)]
    return Volume(scan.array[slab].copy(), scan.grid.crop(start, stop))


def padded(scan: Volume, slab, value: float = 0.0) -> Volume:
    array = np.full(scan.grid.shape, value, np.float32)
    array[slab] = scan.array[slab]
    return scan.with_array(array)


@settings(max_examples=15)
@given(
    st.integers(0, 2), st.floats(0.2, 0.9), st.booleans(), st.booleans(),
    st.sampled_from(["cropped", "padded with 0", "padded with -7"]),
)  # fmt: skip
def test_the_share_of_a_slab_is_measured(axis, share, upper, stripped, how):
    slab = part_of(axis, share, upper=upper)
    scan = SCANS[stripped]
    made = cropped(scan, slab) if how == "cropped" else padded(scan, slab, -7 if "7" in how else 0)
    truth = np.zeros(INSIDE.shape, bool)
    truth[slab] = True
    found = coverage(made, MASK)
    assert found.grid.matches(MASK.grid)
    # Padding may be off by what a ball of 4 mm leaves in the corners; a grid by nothing.
    wrong = (found.array > 0)[INSIDE] != truth[INSIDE]
    assert wrong.mean() < (0.001 if how == "cropped" else 0.02)


@pytest.mark.parametrize("stripped", [True, False])
def test_a_whole_scan_is_whole(stripped):
    scan = SCANS[stripped]
    assert share_of(coverage(scan, MASK), MASK) == 1
    integers = scan.with_array(np.rint(np.clip(scan.array - 8, 0, 255)).astype(np.float32))
    assert share_of(coverage(integers, MASK), MASK) > 0.995


def test_the_rim_between_two_masks_of_one_brain_is_no_lack():
    from scipy import ndimage

    tighter = ndimage.binary_erosion(INSIDE)
    scan = SCANS[True].with_array(np.where(tighter, SCANS[True].array, 0).astype(np.float32))
    assert share_of(coverage(scan, MASK), MASK) > 0.995


def test_it_is_measured_where_the_scan_lies_after_registration():
    slab = part_of(2, 0.5, upper=True)
    moved = np.eye(4)
    moved[:3, 3] = (0, 0, 24.0)
    part = cropped(SCANS[True], slab)
    affine = part.grid.affine.copy()
    affine[:3, 3] += (0, 0, 24.0)
    elsewhere = Volume(part.array, Grid(part.grid.shape, affine))
    here = share_of(coverage(part, MASK), MASK)
    assert share_of(coverage(elsewhere, MASK, transform=moved), MASK) == pytest.approx(here)
    assert share_of(coverage(elsewhere, MASK, transform=inverse(moved)), MASK) < here


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("cut", [cropped, padded])
def test_the_scale_of_a_slab_is_that_of_what_it_shows(axis, cut, tmp_path):
    """Not of the zeros beside it: near that of the whole scan."""
    part = PreparationPart(bias_correction=False)
    mask = write_volume(MASK, tmp_path / "mask.nii.gz")
    scales = []
    for name, scan in (
        ("whole", SCANS[True]),
        ("slab", cut(SCANS[True], part_of(axis, 0.5, upper=True))),
    ):
        folder = tmp_path / name
        folder.mkdir()
        path = write_volume(scan, folder / "scan.nii.gz")
        still = write_itk(np.eye(4), folder / "still.txt")
        _, scale, covered = resample_scan(path, "T2w", mask, still, part, folder)
        scales.append(json.loads(scale.read_text())["scale"])
    assert 0.4 < share_of(read_mask(covered), MASK) < 0.6
    assert scales[1]["gain"] == pytest.approx(scales[0]["gain"], rel=0.15)
    assert abs(scales[1]["offset"] - scales[0]["offset"]) < 0.1 * scales[0]["gain"]
