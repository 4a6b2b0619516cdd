"""The rim: what lies outside a mask never blends into what lies inside, on any way there is."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_toys import IDENTITY
from prepare_phantom import GREYS, from_native, tissues
from scipy import ndimage
from scipy.spatial.distance import cdist
from strategies import directions, grids

from bids_synth.core.scale import Scale
from bids_synth.core.settings import OutputSpace
from bids_synth.core.visit import Prepared, Scan, Visit
from bids_synth.evaluate.truth import real_on_native
from bids_synth.learn.data.mean_image import empty_population
from bids_synth.prepare.native import prepared_grid, to_native
from bids_synth.prepare.to_template import to_template
from bids_synth.prepare.workflow.steps import place_mask, resample_scan
from bids_synth.recipe.sections.preparation import GridPart, PreparationPart
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.masked_resample import resample_within
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume, read_mask, read_volume, write_volume

LEVEL, AIR = 640.0, -1024.0


def ball(grid: Grid, centre: np.ndarray, radius: float) -> np.ndarray:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    return np.linalg.norm(grid.to_mm(index) - centre, axis=-1) < radius


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Grid, np.ndarray, Grid, np.ndarray]:
    """Two grids over one ball and its mask on each: other voxels, turns, flips and shifts."""
    here = draw(grids(spacing=(1.0, 4.0), side=28.0))
    middle = here.to_mm((np.asarray(here.shape) - 1) / 2)
    sizes = [draw(st.floats(1.0, 4.0)) for _ in range(3)]
    affine = np.eye(4)
    affine[:3, :3] = draw(directions()) * sizes
    shape = tuple(int(np.ceil(32 / s)) for s in sizes)
    shift = [draw(st.floats(-4, 4)) for _ in range(3)]
    affine[:3, 3] = middle + shift - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    there = Grid(shape, affine)
    # The mask of the target may reach beyond that of the source, as native voxels do.
    return here, ball(here, middle, 10), there, ball(there, middle, draw(st.floats(9, 13)))


@pytest.mark.parametrize("order", [1, 3])
@settings(max_examples=25, deadline=None)
@given(pairs(), st.sampled_from([0.0, AIR, 1e6, np.nan, np.inf]))
def test_a_constant_stays_constant_whatever_is_around_it(order, pair, junk):
    here, mask, there, inside = pair
    image = Volume(np.where(mask, LEVEL, junk).astype(np.float32), here)
    for wanted in (inside, None):
        found = resample_within(
            image, mask, there, order=order, inside=wanted, background=AIR
        ).array
        known = inside if wanted is not None else found != AIR
        np.testing.assert_allclose(found[known], LEVEL, rtol=1e-5)
        assert (found[~known] == AIR).all()
        assert known.any()


@pytest.mark.parametrize("order", [1, 3])
@settings(max_examples=25, deadline=None)
@given(pairs(), st.integers(0, 9))
def test_values_stay_in_the_range_of_the_mask_and_know_nothing_of_the_rest(order, pair, seed):
    here, mask, there, inside = pair
    rng = np.random.default_rng(seed)
    values = rng.normal(100, 30, here.shape).astype(np.float32)
    found = [
        resample_within(
            Volume(np.where(mask, values, junk).astype(np.float32), here),
            mask, there, order=order, inside=inside,
        ).array[inside]
        for junk in (0, np.nan, rng.normal(1e4, 1e4, here.shape))
    ]  # fmt: skip
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert found[0].min() >= values[mask].min()
    assert found[0].max() <= values[mask].max()


@settings(max_examples=25, deadline=None)
@given(pairs(), st.integers(0, 9))
def test_what_no_voxel_reaches_has_the_nearest_value_of_the_mask(pair, seed):
    here, mask, there, inside = pair
    values = np.random.default_rng(seed).permutation(mask.size).reshape(here.shape)
    image = Volume(values.astype(np.float32), here)
    found = resample_within(image, mask, there, inside=inside).array
    far = np.argwhere(inside)
    gaps = cdist(there.to_mm(far), here.to_mm(np.argwhere(mask)))
    # A voxel's diagonal away from the mask, and as far as larger voxels are blurred (three
    # standard deviations of their size), nothing is interpolated.
    reach = np.linalg.norm(here.spacing) + 3 / 2.35 * np.linalg.norm(there.spacing)
    unreached = gaps.min(1) > reach
    for at, gap in zip(far[unreached], gaps[unreached], strict=True):
        close = np.argwhere(mask)[gap < gap.min() + 1e-4]
        assert found[tuple(at)] in values[tuple(close.T)]


@settings(max_examples=25, deadline=None)
@given(pairs())
def test_shared_voxels_are_kept_as_they_are(pair):
    here, mask, _, _ = pair
    values = np.random.default_rng(0).normal(size=here.shape).astype(np.float32)
    flipped = here.affine @ np.diag([-1.0, 1, 1, 1])
    flipped[:3, 3] = here.to_mm((here.shape[0] - 1, 0, 0))
    there = Grid(here.shape, flipped).crop((-2, -1, 0), tuple(n + 1 for n in here.shape))
    found = resample_within(Volume(values, here), mask, there, background=-9).array
    wanted = np.pad(np.where(mask, values, -9)[::-1], ((2, 1), (1, 1), (0, 1)), constant_values=-9)
    np.testing.assert_array_equal(found, wanted.astype(np.float32))


@cache
def head(modality: str) -> tuple[Volume, Volume]:
    """A whole head of 2 mm with skull and scalp, as smooth as a scan, and its brain."""
    shares, inside, grid = tissues(2.0)
    smooth = ndimage.gaussian_filter(shares, (0, 0.8, 0.8, 0.8))
    image = np.tensordot(np.array(GREYS[modality], np.float32), smooth, axes=1)
    return Volume(image * 300, grid), Volume(inside.astype(np.float32), grid)


def visit_of(folder: Path, native: Volume, brain: Volume, spacing: float, **images: Volume):
    """A visit whose masks and images are on disk; `images` lie on the native grid."""
    held = brain.with_array((brain.array > 0.5).astype(np.uint8))
    native_mask = write_volume(held, folder / "native_mask.nii")
    part = GridPart(spacing=spacing, margin=4)
    mask = place_mask(native_mask, part, folder)
    grid = prepared_grid(read_mask(native_mask), part)
    template = folder / "template.txt"
    template.write_text(IDENTITY)
    scans = {"T1w": Scan("T1w", write_volume(native, folder / "native.nii"))}
    paths = {
        name: write_volume(resample(image, grid, order=3), folder / f"{name}.nii")
        for name, image in images.items()
    }
    return Prepared(
        Visit("01", None, scans), "T1w", native.grid, grid, paths, mask, native_mask, {},
        template, dict.fromkeys(images, Scale(0, 300)), {}, stripped=False, key="k",
    )  # fmt: skip


def decibels(answer: np.ndarray, real: np.ndarray, inside: np.ndarray) -> float:
    span = np.ptp(np.percentile(real[inside], [0.5, 99.5]))
    return float(-10 * np.log10(np.square((answer - real)[inside] / span).mean()))


@pytest.mark.parametrize(("spacing", "voxels"), [(3.0, (2.8, 2.8, 3.6)), (5.0, (3.0, 3.0, 3.0))])
@pytest.mark.parametrize("modality", ["T1w", "T2w"])
def test_a_perfect_answer_is_as_good_as_the_whole_head(tmp_path, modality, spacing, voxels):
    """Oracle: the same image with all that lies around the brain, interpolated plainly."""
    whole, brain = (resample(v, v.grid.with_spacing(voxels)) for v in head(modality))
    prepared = visit_of(tmp_path, whole, brain, spacing, T1w=whole)
    real = read_volume(prepared.images["T1w"])
    mask = read_mask(prepared.mask).array > 0
    answer = to_native(real.with_array(np.where(mask, real.array, 0)), prepared).array
    inside = read_mask(prepared.native_mask).array > 0
    plain = decibels(resample(real, whole.grid).array, whole.array, inside)
    assert decibels(answer, whole.array, inside) > plain - 2
    assert not answer[~inside].any()


@pytest.mark.parametrize("spacing", [3.0, 4.3])
def test_a_perfect_answer_loses_nothing_to_a_real_image_sent_the_same_way(tmp_path, spacing):
    whole, brain = (resample(v, v.grid.with_spacing((4, 3, 4.5))) for v in head("T2w"))
    prepared = visit_of(tmp_path, whole, brain, spacing, T1w=whole, T2w=whole)
    real = read_volume(prepared.images["T2w"])
    answer = real.with_array(np.where(read_mask(prepared.mask).array > 0, real.array, np.nan))
    inside = read_mask(prepared.native_mask).array > 0
    back, truth = to_native(answer, prepared).array, real_on_native(prepared, "T2w").array
    np.testing.assert_array_equal(back[inside], truth[inside])


@pytest.mark.parametrize("spacing", [2.5, 5.0])
def test_a_constant_brain_is_constant_wherever_it_goes(tmp_path, spacing):
    """Native grid, template and population mean of an answer that is one value in the mask."""
    whole, brain = (resample(v, v.grid.with_spacing((3, 4, 3.5))) for v in head("T1w"))
    prepared = visit_of(tmp_path, whole, brain, spacing)
    mask = read_mask(prepared.mask).array
    answer = Volume(np.where(mask > 0, LEVEL, AIR).astype(np.float32), prepared.grid)
    native = to_native(answer, prepared, background=AIR).array
    inside = read_mask(prepared.native_mask).array > 0
    np.testing.assert_allclose(native[inside], LEVEL, rtol=1e-5)
    assert (native[~inside] == AIR).all()
    back = from_native(Volume(native, prepared.native), prepared, background=AIR)
    np.testing.assert_allclose(back.array[mask > 0], LEVEL, rtol=1e-5)
    space = OutputSpace("MNI152NLin2009aSym", "4")
    copy = to_template(answer, prepared, space, seed=1, background=AIR).array
    assert set(np.unique(copy[copy != AIR])) <= {np.float32(LEVEL)}
    litres = np.array([(copy != AIR).sum() * 64, inside.sum() * 42]) / 1e6
    assert litres[0] == pytest.approx(litres[1], rel=0.06)
    population = empty_population()
    population.add(prepared, "T1w", mask * np.float32(2), mask)
    mean = population.on(prepared, "T1w")
    np.testing.assert_allclose(mean[mask > 0], 2, rtol=1e-4)


@pytest.mark.parametrize("spacing", [2.0, 5.0])
@pytest.mark.parametrize("outside", [0.0, AIR])
def test_a_scan_without_skull_keeps_its_rim(tmp_path, spacing, outside):
    """Fails where what was set around the brain is smoothed or interpolated into it."""
    _, brain = (resample(v, v.grid.with_spacing((3, 2.5, 3))) for v in head("T1w"))
    inside = brain.array > 0.5
    rng = np.random.default_rng(0)
    values = rng.uniform(500, 520, inside.shape)
    scan = brain.with_array(np.where(inside, values, outside).astype(np.float32))
    path = write_volume(scan, tmp_path / "T1w.nii")
    native_mask = write_volume(scan.with_array(inside.astype(np.uint8)), tmp_path / "m.nii")
    part = PreparationPart(bias_correction=False)
    placed = place_mask(native_mask, GridPart(spacing=spacing), tmp_path)
    image, _, _ = resample_scan(path, "ct", placed, None, part, tmp_path)
    found = read_volume(image).array[read_mask(placed).array > 0]
    assert found.min() >= 499.9
    assert found.max() <= 520.1


@pytest.mark.parametrize("modality", ["cbf", "T1w"])
def test_a_flow_of_zero_in_the_mask_is_a_value(tmp_path, modality):
    """Fluid without flow at the rim of a map that is 0 outside the brain stays without flow."""
    _, brain = (resample(v, v.grid.with_spacing(3)) for v in head("T1w"))
    inside = brain.array > 0.5
    tissue = ndimage.distance_transform_edt(inside, sampling=3) > 10
    rng = np.random.default_rng(0)
    values = np.where(tissue, rng.uniform(40, 60, tissue.shape), 0).astype(np.float32)
    path = write_volume(brain.with_array(values), tmp_path / "map.nii")
    native_mask = write_volume(brain.with_array(inside.astype(np.uint8)), tmp_path / "m.nii")
    part = PreparationPart(bias_correction=False)
    placed = place_mask(native_mask, GridPart(spacing=4.0), tmp_path)
    image, _, _ = resample_scan(path, modality, placed, None, part, tmp_path)
    mask = read_mask(placed)
    share = resample(brain.with_array(tissue.astype(np.float32)), mask.grid).array
    fluid = (mask.array > 0) & (share > 0.05) & (share < 0.4)
    mean = read_volume(image).array[fluid].mean()
    # Arbitrary units have no 0 in a brain: there the rim is what was cut away.
    assert mean < 25 if modality == "cbf" else mean > 35


def test_masks_on_another_grid_are_refused(tmp_path):
    whole, brain = (resample(v, v.grid.with_spacing(6)) for v in head("T1w"))
    prepared = visit_of(tmp_path, whole, brain, 5.0, T1w=whole)
    wrong = replace(prepared, mask=prepared.native_mask)
    image = read_volume(prepared.images["T1w"])
    for send in (to_native, lambda *a: to_template(*a, OutputSpace("x", "4"), seed=1)):
        with pytest.raises(ValueError, match="expected a volume on"):
            send(image, wrong)
