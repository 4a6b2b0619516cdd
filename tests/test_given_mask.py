"""The brain mask of another pipeline is used where it fits the scan, and named where not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepare_phantom import make_scan, truth_mask

from bids_synth.bids.raw.masks import MaskFinder
from bids_synth.core.visit import Scan, Visit
from bids_synth.prepare.brain.given_mask import fitting_mask, misplacement
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume, write_volume

SPACING = 4.0
TRUTH = truth_mask(SPACING)
HEADS = {m: make_scan(m, spacing=SPACING, stripped=False) for m in ("T1w", "T2w", "FLAIR")}


def shifted(mask: Volume, mm) -> Volume:
    affine = mask.grid.affine.copy()
    affine[:3, 3] += mm
    moved = Volume(mask.array.astype(np.float32), Grid(mask.grid.shape, affine))
    there = resample(moved, mask.grid)
    return there.with_array((there.array > 0.5).astype(np.uint8))


@settings(max_examples=6)
@given(st.sampled_from(sorted(HEADS)), st.integers(0, 2), st.sampled_from([-10, -8, 0, 1, 8, 12]))
def test_a_mask_beside_the_brain_is_noticed(modality, axis, mm):
    shift = np.zeros(3)
    shift[axis] = mm
    found = misplacement(HEADS[modality], shifted(TRUTH, shift))
    assert abs(found - abs(mm)) <= 3.5
    assert (found > 5) == (abs(mm) > 5)


def test_a_hemisphere_is_a_mask_in_its_place():
    half = TRUTH.array.copy()
    half[half.shape[0] // 2 :] = 0
    assert misplacement(HEADS["T1w"], TRUTH.with_array(half)) <= 5


def values(kind: str) -> Volume:
    inside = TRUTH.array.astype(np.float32)
    noise = np.random.default_rng(0).random(inside.shape).astype(np.float32)
    made = {
        "plain": inside,
        "255": 255 * inside,
        "probabilities": np.clip(0.98 * inside + 0.02 * noise, 0, 1),
        "percent": 98.5 * inside + noise,
        "empty": 0 * inside,
        "inverted": 1 - inside,
        "nearly empty": inside * (np.cumsum(inside).reshape(inside.shape) < 300),
        "labels": inside * np.rint(1 + 30 * noise),
        "negative": 2 * inside - 1,
        "shifted": shifted(TRUTH, (0, 8, 0)).array.astype(np.float32),
    }
    return TRUTH.with_array(np.asarray(made[kind], np.float32))


@pytest.mark.parametrize("kind", ["plain", "255", "probabilities", "percent"])
def test_masks_count_from_one_half(kind, tmp_path):
    path = write_volume(values(kind), tmp_path / "mask.nii.gz")
    mask, fault = fitting_mask(path, HEADS["T1w"])
    assert fault == ""
    np.testing.assert_array_equal(mask.array, TRUTH.array)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("empty", "it is empty"),
        ("inverted", "inverted"),
        ("nearly empty", "expected that of a brain"),
        ("labels", "labels up to 31, expected a mask of 0 and 1"),
        ("negative", "values down to -1"),
        ("shifted", "it lies 8 mm beside the brain"),
    ],
)
def test_what_is_no_mask_of_the_scan_is_named(kind, told, tmp_path):
    path = write_volume(values(kind), tmp_path / "mask.nii.gz")
    mask, fault = fitting_mask(path, HEADS["T1w"])
    assert mask is None
    assert told in fault


def test_a_mask_on_another_grid_is_brought_over_and_one_elsewhere_named(tmp_path):
    coarse = resample(
        TRUTH.with_array(TRUTH.array.astype(np.float32)), TRUTH.grid.with_spacing(6.0)
    )
    path = write_volume(coarse, tmp_path / "mask.nii.gz")
    mask, fault = fitting_mask(path, HEADS["T1w"])
    assert fault == ""
    both = 2 * (mask.array * TRUTH.array).sum() / (mask.array.sum() + TRUTH.array.sum())
    assert both > 0.93
    affine = TRUTH.grid.affine.copy()
    affine[2, 3] += 90
    far = write_volume(Volume(TRUTH.array, Grid(TRUTH.grid.shape, affine)), tmp_path / "far.nii")
    mask, fault = fitting_mask(far, HEADS["T1w"])
    assert mask is None
    assert "% of it lies in the" in fault


# by their names


def finder(tmp_path, *names: str, **sidecar) -> MaskFinder:
    for name in names:
        path = tmp_path / "d" / "sub-01" / "anat" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        if sidecar:
            path.with_name(name.split(".")[0] + ".json").write_text(json.dumps(sidecar))
    return MaskFinder(tmp_path, {"prep": tmp_path / "d"}, ("T1w", "FLAIR"))


def visit(tmp_path, **entities: str) -> Visit:
    stem = "_".join(["sub-01", *(f"{k}-{v}" for k, v in entities.items())])
    own = {"sub": "01", **entities}
    scan = Scan("T1w", tmp_path / f"sub-01/anat/{stem}_T1w.nii.gz", own)
    flair = Scan("FLAIR", tmp_path / "sub-01/anat/sub-01_FLAIR.nii.gz", {"sub": "01"})
    return Visit("01", None, {"T1w": scan, "FLAIR": flair})


@given(st.integers(1, 99), st.integers(1, 3), st.integers(1, 3), st.sampled_from([0, 1]))
@settings(max_examples=20)
def test_runs_are_numbers(tmp_path_factory, number, width, other_width, more):
    folder = tmp_path_factory.mktemp("runs")
    run, other = f"{number:0{width}d}", f"{number + more:0{other_width}d}"
    looked = finder(folder, f"sub-01_run-{other}_desc-brain_mask.nii.gz")
    found, notes = looked.add_to(visit(folder, run=run))
    assert (found.brain_mask is not None) == (more == 0)
    assert len(notes) == more
    assert all(f"it is of run-{other}" in note for note in notes)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sub-01_acq-b_desc-brain_mask.nii.gz", "it is of acq-b"),
        ("sub-01_space-FLAIR_desc-brain_mask.nii.gz", "the reference is the T1w"),
        ("sub-01_space-MNI152NLin6Asym_desc-brain_mask.nii.gz", "of which the visit has no scan"),
        ("sub-01_T1w_brainmask.nii.gz", "its name is none of BIDS"),
        ("sub-02_desc-brain_mask.nii.gz", "another participant"),
    ],
)
def test_a_mask_that_is_there_and_not_used_is_named(name, told, tmp_path):
    found, notes = finder(tmp_path, name).add_to(visit(tmp_path))
    assert found.brain_mask is None
    assert len(notes) == 1
    assert name in notes[0]
    assert told in notes[0]


def test_a_mask_is_of_the_scan_that_its_sidecar_names(tmp_path):
    name = "sub-01_desc-brain_mask.nii.gz"
    sources = {"RawSources": ["sub-01/anat/sub-01_run-1_T1w.nii.gz"]}
    looked = finder(tmp_path, name, **sources)
    assert looked.add_to(visit(tmp_path, run="01"))[0].brain_mask is not None
    found, notes = looked.add_to(visit(tmp_path, run="02"))
    assert found.brain_mask is None
    assert "made from another scan" in notes[0]


def test_a_finer_mask_is_preferred_and_the_other_named(tmp_path):
    names = ("sub-01_desc-brain_mask.nii.gz", "sub-01_res-2_desc-brain_mask.nii.gz",
             "sub-01_space-MNI152NLin6Asym_desc-brain_mask.nii.gz",
             "sub-01_label-brain_probseg.nii.gz")  # fmt: skip
    found, notes = finder(tmp_path, *names).add_to(visit(tmp_path))
    assert found.brain_mask.name == names[0]
    assert [any(f"{name} of prep" in note for note in notes) for name in names] == [
        False,
        True,
        False,
        True,
    ]
