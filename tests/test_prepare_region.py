"""Where the brain is: stripped images are recognised, skulls removed, outlines near the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepare_phantom import dice, make_scan, motion, rms_error, truth_mask
from scipy import ndimage

from bids_synth.errors import UsageError, VisitError
from bids_synth.prepare.bias import correct_bias, estimate_bias
from bids_synth.prepare.brain import external
from bids_synth.prepare.brain.external import check_skull_strip, strip_with_tool
from bids_synth.prepare.brain.find_brain import find_brain
from bids_synth.prepare.brain.head_template import _distance
from bids_synth.prepare.brain.region import (
    CORE,
    brain_of_stripped,
    commonest,
    core,
    filled,
    head_mask,
    is_stripped,
    solid,
)
from bids_synth.prepare.brain.template_mask import align_brain, mask_by_template, solid_on
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume, read_volume, write_volume

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
PATHS = {
    folder: sorted((DATA / folder).glob("sub-*/**/anat/*_*[wR].nii.gz"))
    for folder in ("stripped", "ms-raw", "head", "averages")
}
REAL = [(folder == "stripped", path) for folder, paths in PATHS.items() for path in paths]


def zero_air(head: Volume) -> Volume:
    """A head whose scanner writes zero where there is no signal, as many do."""
    return head.with_array(np.where(head.array < 30, 0, head.array).astype(np.float32))


@pytest.mark.parametrize("modality", ["T1w", "T2w", "FLAIR"])
def test_stripped_images_are_told_from_heads(modality):
    bare = make_scan(modality, spacing=3.0)
    assert is_stripped(bare)
    assert is_stripped(bare.with_array(bare.array - 40))  # background below zero
    head = make_scan(modality, spacing=3.0, stripped=False)
    assert not is_stripped(head)
    assert not is_stripped(zero_air(head))


@pytest.mark.real
@pytest.mark.parametrize(("stripped", "path"), REAL, ids=lambda v: getattr(v, "name", str(v)))
def test_real_stripped_images_are_told_from_heads(stripped, path):
    assert is_stripped(read_volume(path)) is stripped


def test_the_brain_of_a_stripped_image_is_all_that_is_not_background():
    bare = make_scan("T1w", spacing=3.0)
    assert dice(brain_of_stripped(bare).array, truth_mask(3.0).array) > 0.98


@settings(max_examples=8, deadline=None)
@given(st.floats(0.7, 2.0), st.floats(0.5, 2000.0))
def test_a_map_that_fades_ends_where_it_has_half_its_height(blur, height):
    places = np.stack(np.meshgrid(*[np.arange(n) * 3.0 for n in (72, 80, 64)], indexing="ij"))
    radius = np.sqrt(((places - places.max(axis=(1, 2, 3), keepdims=True) / 2) ** 2).sum(0))
    ball = (radius < 65).astype(np.float32)
    array = ndimage.gaussian_filter(ball, blur) * np.float32(height)
    array[array < 1e-5 * height] = 0
    volume = Volume(array, Grid(ball.shape, np.diag([3.0, 3, 3, 1])))
    found = brain_of_stripped(volume).array > 0
    edge = np.cbrt(found.sum() * 27 * 3 / (4 * np.pi))
    assert is_stripped(volume)
    assert edge == pytest.approx(65, abs=max(3.0, 2.1 * blur))


def test_the_head_mask_holds_brain_and_scalp_but_no_air():
    head = make_scan("T2w", spacing=3.0, stripped=False, seed=3)
    clean = make_scan("T2w", spacing=3.0, stripped=False, noise=0.0, bias=0.0)
    found = head_mask(head).array > 0
    assert found[truth_mask(3.0).array > 0].mean() > 0.999
    assert dice(found, clean.array > 0) > 0.97


@pytest.mark.parametrize(("modality", "least"), [("T1w", 0.94), ("T2w", 0.88), ("FLAIR", 0.92)])
def test_the_template_finds_the_brain_of_a_tilted_head(modality, least):
    moved = motion((12.0, -15.0, 20.0), (12.0, -4.0, 6.0))
    head = make_scan(modality, spacing=3.0, stripped=False, moved=moved, bias=0.25)
    mask, affine = mask_by_template(head, seed=1)
    truth = resample(truth_mask(3.0), head.grid, transform=np.linalg.inv(moved), order=0)
    assert mask.array.dtype == np.uint8
    assert mask.grid.matches(head.grid)
    assert dice(mask.array, truth.array) > least
    assert rms_error(affine, moved, truth_mask(3.0)) < 6


def test_the_template_is_laid_on_a_known_brain():
    moved = motion((8.0, -5.0, 10.0), (6.0, 3.0, -5.0))
    bare = make_scan("T1w", spacing=3.0, moved=moved)
    affine = align_brain(bare, brain_of_stripped(bare), seed=1)
    assert rms_error(affine, moved, truth_mask(3.0)) < 2


def find(volume: Volume, folder: Path, **changes):
    arguments = {"option": "auto", "region": "brain"}
    arguments |= {"mask_file": None, "seed": 1, **changes}
    path = write_volume(volume, folder / "scan.nii.gz")
    return find_brain(volume, path, **arguments)


def test_auto_takes_a_given_mask_first(tmp_path):
    bare = make_scan("T1w", spacing=4.0)
    part = np.zeros(bare.grid.shape, np.uint8)
    part[20:40, 20:40, 20:40] = 1
    given = write_volume(bare.with_array(part), tmp_path / "mask.nii.gz")
    found = find(bare, tmp_path, mask_file=given)
    np.testing.assert_array_equal(found.mask.array, part)
    assert found.stripped


def test_auto_recognises_a_stripped_image(tmp_path):
    found = find(make_scan("T1w", spacing=4.0), tmp_path)
    assert found.stripped
    assert dice(found.mask.array, truth_mask(4.0).array) > 0.97
    assert found.quality["template_correlation"] > 0.8


def test_a_head_recipe_gets_the_head(tmp_path):
    head = make_scan("T1w", spacing=4.0, stripped=False)
    found = find(head, tmp_path, region="head", option="skip")
    assert not found.stripped
    assert found.mask.array.sum() > 1.5 * truth_mask(4.0).array.sum()


def test_an_image_of_air_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    air = Volume(
        rng.normal(0, 1, (24, 24, 24)).astype(np.float32) * 0, Grid((24,) * 3, np.eye(4) * 4)
    )
    with pytest.raises(VisitError, match=r"scan\.nii\.gz: no head"):
        find(air, tmp_path, region="head", option="skip")


@pytest.mark.parametrize("option", ["synthstrip", "hd-bet"])
def test_absent_tools_are_named_before_any_work(monkeypatch, option):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match=rf"--skull-strip {option}: found no .*install"):
        check_skull_strip(option)
    check_skull_strip("auto")
    check_skull_strip("template")


TOOL = """#!/bin/sh
while [ $# -gt 0 ]; do case "$1" in -i) in="$2";; -m) mask="$2";; -o) out="$2";; esac; shift; done
[ -z "$mask" ] && mask="${out%.nii.gz}_bet.nii.gz"
cp "$(dirname "$in")/truth.nii.gz" "$mask"
"""


@pytest.mark.parametrize(
    ("option", "name"), [("synthstrip", "mri_synthstrip"), ("hd-bet", "hd-bet")]
)
def test_installed_tools_are_called(monkeypatch, tmp_path, option, name):
    tool = tmp_path / "bin" / name
    tool.parent.mkdir()
    tool.write_text(TOOL)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    write_volume(truth_mask(4.0), tmp_path / "truth.nii.gz")
    check_skull_strip(option)
    found = find(make_scan("T1w", spacing=4.0, stripped=False), tmp_path, option=option)
    np.testing.assert_array_equal(found.mask.array, truth_mask(4.0).array)


def test_a_failing_tool_fails_the_visit(monkeypatch, tmp_path):
    tool = tmp_path / "hd-bet"
    tool.write_text("#!/bin/sh\necho no weights >&2\nexit 3\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(VisitError, match=r"a\.nii: hd-bet found no brain \(no weights\)"):
        strip_with_tool(tmp_path / "a.nii", "hd-bet")
    assert external.COMMANDS["hd-bet"] == ("hd-bet",)


def test_bias_correction_flattens_a_field_and_has_its_way_back():
    head = make_scan("T1w", spacing=4.0, stripped=False, bias=0.5, seed=2, noise=0.01)
    flat = correct_bias(head)
    plain = make_scan("T1w", spacing=4.0, stripped=False, bias=0.0, noise=0.0)
    inside = plain.array > 150

    def spread(volume: Volume) -> float:
        ratio = volume.array[inside] / plain.array[inside]
        return float(ratio.std() / ratio.mean())

    assert spread(flat) < 0.6 * spread(head)
    np.testing.assert_allclose(flat.array * estimate_bias(head).array, head.array, rtol=1e-4)


@given(st.floats(0.3, 0.9), st.floats(-1e4, 1e4, width=32), st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_a_background_is_found_among_some_voxels_as_among_all(share, value, seed):
    rng = np.random.default_rng(seed)
    shape = (90, 70, 60)
    image = rng.normal(0, 100, shape).astype(np.float32)
    edge = round(shape[0] * share)
    image[:edge] = value
    values, counts = np.unique(image, return_counts=True)
    assert commonest(image) == values[counts.argmax()] == np.float32(value)


def noise(seed: int, share: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, 3))
    return rng.random(shape) < share


SEEDS, SHARES = st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.3, 0.6, 0.9, 1.0])


@given(SEEDS, SHARES)
def test_masks_are_filled_as_scipy_fills_them(seed, share):
    mask = noise(seed, share)
    np.testing.assert_array_equal(filled(mask), ndimage.binary_fill_holes(mask))


@given(SEEDS, SHARES)
def test_the_solid_piece_is_the_largest_with_its_holes_filled(seed, share):
    mask = noise(seed, share)
    labels, count = ndimage.label(mask)
    largest = 1 + np.bincount(labels.ravel())[1:].argmax() if count else 1
    expected = ndimage.binary_fill_holes(labels == largest)
    np.testing.assert_array_equal(solid(mask), expected)


@given(SEEDS, SHARES)
def test_distances_are_those_of_scipy(seed, share):
    mask = np.pad(noise(seed, share), 1)
    np.testing.assert_allclose(_distance(mask), ndimage.distance_transform_edt(mask), rtol=1e-6)


def test_the_core_is_what_lies_deep_in_the_whole_array():
    mask = truth_mask(3.0)
    depth = ndimage.distance_transform_edt(np.pad(mask.array, 1), sampling=mask.grid.spacing)
    np.testing.assert_array_equal(core(mask), depth[1:-1, 1:-1, 1:-1] > CORE)
    assert not core(mask.with_array(0 * mask.array)).any()


@pytest.mark.parametrize("spacing", [2.0, 3.5])
def test_a_mask_on_a_part_of_a_grid_is_that_on_the_whole(spacing):
    mask = truth_mask(3.0)
    share = mask.with_array(ndimage.gaussian_filter(mask.array.astype(np.float32), 0.7))
    grid = mask.grid.crop((-9, -7, -8), [n + 6 for n in mask.grid.shape]).with_spacing(spacing)
    whole = solid(resample(share, grid).array > 0.5)
    np.testing.assert_array_equal(solid_on(share, grid).array, whole)


def test_a_fine_scan_is_told_from_a_head_by_every_other_voxel():
    bare, head = (make_scan("T1w", spacing=1.0, stripped=s) for s in (True, False))
    assert is_stripped(bare)
    assert not is_stripped(zero_air(head))
