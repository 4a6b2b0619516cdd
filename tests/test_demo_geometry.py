"""Geometry of the demo: maps are invertible, grids lie as asked, resampling is exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel import Nifti1Image
from nibabel.orientations import aff2axcodes
from nibabel.processing import resample_from_to
from scipy import ndimage

from bids_synth.demo.head.anatomy import Form, box_grid, build_template, compose
from bids_synth.demo.head.deformation import draw_deformation, jacobian
from bids_synth.demo.head.individual import draw_form
from bids_synth.demo.head.shapes import Canvas, ellipsoid, mirrored, tube
from bids_synth.demo.head.tissue import BRAIN, TISSUES
from bids_synth.demo.scanner.resampling import (
    interpolate,
    inverse,
    itk_text,
    resample,
    rigid,
    rotation,
)
from bids_synth.demo.scanner.scanner import draw_motion, scan_grid
from bids_synth.spatial.grid import Grid

AXES = ["RAS", "LAS", "LPS", "PSR", "LPI", "SAL", "ARI"]


def test_interpolation_agrees_with_scipy():
    rng = np.random.default_rng(0)
    stack = rng.random((7, 5, 6, 2)).astype(np.float32)
    index = (rng.random((3, 500)) * 9 - 1).astype(np.float32)
    found = interpolate(stack, index)
    for channel in range(2):
        wanted = ndimage.map_coordinates(stack[..., channel], index, order=1, mode="nearest")
        np.testing.assert_allclose(found[channel], wanted, atol=2e-6)


def test_interpolation_of_a_single_plane():
    stack = np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1)
    index = np.array([[0.5], [1.0], [4.0]], np.float32)
    assert interpolate(stack, index)[0, 0] == pytest.approx(2.5)


def test_resampling_agrees_with_nibabel():
    rng = np.random.default_rng(1)
    array = ndimage.gaussian_filter(rng.random((20, 22, 18)), 1).astype(np.float32)
    source = Grid(array.shape, np.diag([2.0, 2.0, 2.5, 1.0]))
    turned = rigid([4, -3, 6], [3, 4, -2]) @ np.diag([-1.5, 1.5, 3.0, 1.0])
    turned[:3, 3] += [30, 4, 6]
    target = Grid((18, 20, 10), turned)
    wanted = resample_from_to(
        Nifti1Image(array, source.affine), (target.shape, target.affine), order=1
    ).get_fdata()
    found = resample(array[..., None], source, target, np.eye(4))[0]
    inside = wanted > 0
    assert inside.mean() > 0.3
    np.testing.assert_allclose(found[inside], wanted[inside], atol=1e-4)


@given(st.lists(st.floats(-20, 20), min_size=3, max_size=3))
def test_rotations_are_proper_and_inverses_undo(degrees):
    turn = rotation(degrees)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    motion = rigid(degrees, [1, 2, 3])
    np.testing.assert_allclose(motion @ inverse(motion), np.eye(4), atol=1e-12)


def test_itk_files_mean_the_same_point_as_the_matrix(tmp_path):
    ants = pytest.importorskip("ants")
    motion = rigid([3, -2, 4], [2, -3, 1.5])
    path = tmp_path / "move.txt"
    path.write_text(itk_text(motion))
    point = np.array([12.0, -34.0, 56.0])
    flip = np.array([-1, -1, 1])
    read = ants.read_transform(str(path))
    lps = np.array(ants.apply_ants_transform_to_point(read, point * flip))
    np.testing.assert_allclose(lps * flip, (motion @ [*point, 1])[:3], atol=1e-9)


@given(
    axes=st.sampled_from(AXES),
    spacing=st.tuples(*[st.floats(0.5, 5)] * 3),
    tilt=st.floats(-25, 25),
    centre=st.tuples(*[st.floats(-30, 30)] * 3),
)
def test_scan_grids_lie_as_asked(axes, spacing, tilt, centre):
    extent = np.array([170.0, 210.0, 180.0])
    grid = scan_grid(np.array(centre), extent, np.array(spacing), axes, rotation([tilt, 0, 0]))
    assert "".join(aff2axcodes(grid.affine)) == axes
    np.testing.assert_allclose(grid.to_mm((np.array(grid.shape) - 1) / 2), centre, atol=1e-9)
    ras = grid.canonical()
    np.testing.assert_allclose(ras.spacing, spacing, atol=1e-9)
    covered = np.array(ras.shape) * ras.spacing
    assert (covered >= extent - 1e-6).all()
    assert (covered < extent + np.array(spacing) + 1e-6).all()


def test_motion_is_small():
    for seed in range(50):
        motion = draw_motion(np.random.default_rng(seed))
        angle = np.degrees(np.arccos((np.trace(motion[:3, :3]) - 1) / 2))
        assert angle < 4
        assert np.linalg.norm(motion[:3, 3]) < 4


@pytest.mark.parametrize("seed", range(4))
def test_deformation_keeps_every_voxel_and_has_an_inverse(seed):
    box = box_grid(4.0)
    found = draw_deformation(np.random.default_rng(seed), box)
    volume = jacobian(found, box_grid(2.0))
    assert volume.min() > 0.1
    assert 0.6 < volume.mean() < 1.6
    points = np.random.default_rng(seed).uniform([-60, -90, -50], [60, 60, 70], (200, 3))
    target, guess = found.apply(points), points + 3.0
    for _ in range(60):
        guess = guess - 0.7 * (found.apply(guess) - target)
    np.testing.assert_allclose(guess, points, atol=0.01)
    moved = np.linalg.norm(target - points, axis=-1)
    assert 2 < moved.mean() < 15


def test_deformation_on_a_grid_agrees_with_point_by_point():
    box = box_grid(8.0)
    found = draw_deformation(np.random.default_rng(5), box)
    index = np.moveaxis(np.indices(box.shape), 0, -1)
    wanted = np.moveaxis(found.apply(box.to_mm(index)), -1, 0)
    np.testing.assert_allclose(found.on(box), wanted, atol=1e-3)


def test_shapes_have_their_volume():
    grid = box_grid(2.0)
    canvas = Canvas(grid)
    canvas.draw("ball", ellipsoid((10, -20, 5), (20, 12, 16)))
    canvas.draw("pair", mirrored(tube, [(50, 20, -40), (50, 20, 20)], [8.0, 8.0]))
    volume = {name: share.sum() * 8 for name, share in canvas.fractions.items()}
    assert volume["ball"] == pytest.approx(4 / 3 * np.pi * 20 * 12 * 16, rel=0.05)
    assert volume["pair"] == pytest.approx(2 * (np.pi * 64 * 60 + 4 / 3 * np.pi * 512), rel=0.05)
    total = sum(canvas.fractions.values()) + canvas.left
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.fixture(scope="module")
def template():
    return build_template(3.0)


def volumes(template, form):
    """ml of every tissue, and of the brain's outline."""
    total = np.zeros(len(TISSUES) + 1)
    for _, _, fractions in compose(template, form):
        np.testing.assert_allclose(fractions[:-1].sum(axis=0), 1, atol=1e-4)
        assert (fractions >= 0).all()
        total += fractions.sum(axis=1)
    ml = total * template.grid.spacing[0] ** 3 / 1000
    return dict(zip((*TISSUES, "outline"), ml, strict=True))


def shaped(template, **change):
    form = draw_form(np.random.default_rng(3), template, age=45, lesions=0)
    return Form(**{**vars(form), **change})


def test_a_head_has_the_volumes_of_an_adult(template):
    found = volumes(template, shaped(template, cortex=0.1, sulci=0.1, ventricles=0.3))
    brain = sum(found[name] for name in BRAIN)
    assert 1100 < brain < 1900
    assert 450 < found["grey"] + found["cerebellum"] < 1100
    assert 350 < found["white"] < 850
    assert 100 < found["csf"] < 600
    assert 300 < found["bone"] + found["marrow"] < 1100
    assert brain < found["outline"] < brain + found["csf"]


def test_atrophy_thins_the_cortex_and_widens_ventricles(template):
    base = volumes(template, shaped(template, cortex=0.0, ventricles=0.0))
    wide = volumes(template, shaped(template, cortex=0.0, ventricles=2.0))
    thin = volumes(template, shaped(template, cortex=-0.5, ventricles=0.0))
    assert 5 < wide["csf"] - base["csf"] < 60
    assert thin["grey"] < 0.95 * base["grey"]
    assert thin["outline"] == pytest.approx(base["outline"])


def test_lesions_lie_in_white_matter(template):
    sites = template.lesion_sites()[:: max(1, len(template.lesion_sites()) // 8)]
    lesions = np.column_stack([sites, np.full(len(sites), 4.0)])
    none = volumes(template, shaped(template))
    some = volumes(template, shaped(template, lesions=lesions))
    assert none["lesion"] == 0
    assert some["lesion"] > 0.5
    assert some["white"] + some["lesion"] == pytest.approx(none["white"], rel=1e-4)
    assert (np.abs(sites[:, 0]) < 55).all()
