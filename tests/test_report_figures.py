"""Figures: right side left, true proportions, whole SVGs that load nothing from elsewhere."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from bids_synth.core.scale import Scale
from bids_synth.core.synthetic import Interval, Synthetic
from bids_synth.report.figures.canvas import svg_text
from bids_synth.report.figures.mosaic import draw_mosaic
from bids_synth.report.figures.planes import choose_planes, limits, sample
from bids_synth.report.figures.scan import SLICES, draw_flicker, draw_slices
from bids_synth.report.figures.synthetic import (
    Shown,
    comparison,
    draw_histogram,
    draw_synthetic,
    draw_uncertainty,
)
from bids_synth.spatial.grid import Grid, reorient
from bids_synth.spatial.volume import Volume, read_volume

SHAPE = (20, 26, 22)
UPRIGHT = Grid(SHAPE, np.array([[2, 0, 0, -20], [0, 2, 0, -26], [0, 0, 2, -22], [0, 0, 0, 1.0]]))


def ball(grid: Grid, centre=(0.0, 0.0, 0.0), radius=15.0) -> Volume:
    points = grid.to_mm(np.moveaxis(np.indices(grid.shape), 0, -1))
    inside = np.linalg.norm(points - np.asarray(centre), axis=-1) < radius
    return Volume(inside.astype(np.float32), grid)


def turned(order: tuple[int, ...], flips: tuple[bool, ...]) -> Grid:
    """The upright grid with its axes permuted and flipped."""
    affine = UPRIGHT.affine.copy()
    for axis, flip in enumerate(flips):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (SHAPE[axis] - 1)
            affine[:3, axis] *= -1
    shape = tuple(SHAPE[axis] for axis in order)
    return Grid(shape, affine[:, [*order, 3]])


MASK = ball(UPRIGHT).with_array(ball(UPRIGHT).array.astype(np.uint8))
IMAGE = Volume(
    ball(UPRIGHT).array * np.random.default_rng(0).uniform(50, 150, SHAPE).astype(np.float32),
    UPRIGHT,
)


def brightest(picture: np.ndarray) -> tuple[float, float]:
    """Row and column of the bright spot, as fractions of the picture."""
    row, column = np.unravel_index(np.nanargmax(picture), picture.shape)
    return row / picture.shape[0], column / picture.shape[1]


@pytest.mark.parametrize(
    ("plane", "spot", "where"),
    [
        ("axial", (10, 0, 0), "left"),
        ("axial", (0, 10, 0), "top"),
        ("coronal", (10, 0, 0), "left"),
        ("coronal", (0, 0, 10), "top"),
        ("sagittal", (0, 10, 0), "left"),
        ("sagittal", (0, 0, 10), "top"),
    ],
)
def test_patients_right_is_left_and_up_is_up(plane, spot, where):
    (chosen,) = choose_planes(MASK, **{plane: (0.5,)})
    row, column = brightest(sample(ball(UPRIGHT, spot, 3.0), chosen))
    assert (column if where == "left" else row) < 0.4
    assert (row if where == "left" else column) == pytest.approx(0.5, abs=0.1)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(3)), flips=st.tuples(*(st.booleans() for _ in range(3))))
def test_the_picture_does_not_depend_on_how_voxels_are_stored(order, flips):
    grid = turned(tuple(order), flips)
    image = Volume(reorient(IMAGE.array, UPRIGHT, grid), grid)
    mask = Volume(reorient(MASK.array, UPRIGHT, grid), grid)
    wanted = {"axial": (0.3, 0.6), "coronal": (0.5,), "sagittal": (0.4,)}
    for one, other in zip(
        choose_planes(MASK, **wanted), choose_planes(mask, **wanted), strict=True
    ):
        np.testing.assert_allclose(one.points, other.points, atol=1e-6)
        np.testing.assert_allclose(sample(IMAGE, one), sample(image, other), atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(spacing=st.tuples(*(st.floats(0.6, 4.0) for _ in range(3))))
def test_a_ball_is_round_whatever_the_voxels(spacing):
    shape = tuple(int(np.ceil(60 / s)) for s in spacing)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -30
    mask = ball(Grid(shape, affine), radius=20)
    for plane in choose_planes(mask, axial=(0.5,), coronal=(0.5,), sagittal=(0.5,)):
        inside = sample(mask, plane) > 0.5
        across, down = (np.ptp(np.flatnonzero(inside.any(axis=a))) * plane.pixel for a in (0, 1))
        assert across == pytest.approx(down, abs=2 * max(spacing))
        assert plane.size[0] == pytest.approx(across + 12, abs=3 * max(spacing))


def test_an_empty_mask_still_gives_a_picture():
    planes = choose_planes(MASK.with_array(MASK.array * 0), axial=(0.5,))
    assert np.isfinite(sample(IMAGE, planes[0])).any()


def test_limits_hold_tissue_and_never_coincide():
    low, high = limits(IMAGE, MASK)
    assert 45 < low < 60
    assert 140 < high < 155
    flat = IMAGE.with_array(np.zeros(SHAPE, np.float32))
    assert limits(flat, MASK) == (0.0, 1.0)


def shown(**more) -> Shown:
    more = {"spread": None} | more
    return Shown(Synthetic("T2w", ("T1w",), IMAGE, **more), {"T1w": IMAGE}, MASK)


def text_of(path) -> str:
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    return " ".join("".join(node.itertext()) for node in root.iter() if node.tag.endswith("text"))


def assert_sound(path) -> None:
    svg = path.read_text(encoding="utf-8")
    root = ET.fromstring(svg)
    assert root.get("viewBox")
    assert root.get("width") is None
    links = re.findall(r'(?:href|src)="([^"]*)"', svg) + re.findall(r"url\(([^)]*)\)", svg)
    assert all(link.startswith(("data:image/png", "#")) for link in links)
    assert "<script" not in svg
    assert path.stat().st_size < 1_500_000


def test_a_mosaic_has_seven_slices_of_each_plane_and_the_outline_of_the_mask(tmp_path):
    path = draw_slices("T1w", IMAGE, MASK, tmp_path / "scans.svg")
    assert_sound(path)
    svg = path.read_text()
    assert svg.count("<image") == 3 * SLICES + 1 == 22, "and the colour bar"
    assert svg.count("#ffd166") == 21
    assert {"T1w", "axial", "coronal", "sagittal", *"RLAPSI"} <= set(text_of(path).split())
    bare = draw_slices("T1w", IMAGE, MASK, tmp_path / "bare.svg", outline=False)
    assert "#ffd166" not in bare.read_text()


def test_every_letter_is_outside_of_all_pictures_and_clear_of_the_others():
    planes = choose_planes(MASK, axial=(0.5,), coronal=(0.5,), sagittal=(0.5,))
    figure = draw_mosaic(comparison(shown(real=IMAGE), planes))
    FigureCanvasAgg(figure).draw()
    pictures = [axes.get_images()[0] for axes in figure.axes if axes.get_images()]
    letters = [
        t for axes in figure.axes for t in axes.texts if (t.get_gid() or "").startswith("end-")
    ]
    assert len(pictures) == 4 * 3
    assert len(letters) == 4 * len(pictures)
    boxes = [box.get_window_extent() for box in (*letters, *pictures)]
    for number, letter in enumerate(boxes[: len(letters)]):
        assert not [
            other for n, other in enumerate(boxes) if n != number and letter.overlaps(other)
        ]


def test_the_window_is_of_the_tissue_inside_the_mask_whatever_the_grids():
    """A bright skull around a brain, on another grid than the mask: it does not set the window."""
    fine = Grid((40, 52, 44), UPRIGHT.with_spacing(1.0).affine)
    skull = ball(fine, radius=20).array - ball(fine, radius=17).array
    head = Volume(100 * ball(fine).array + 5000 * skull, fine)
    low, high = limits(head, MASK)
    assert high == pytest.approx(100)
    assert low >= 0
    aside = Grid(SHAPE, UPRIGHT.affine + np.array([[0, 0, 0, 500]] * 3 + [[0, 0, 0, 0]]))
    assert limits(IMAGE, Volume(MASK.array, aside)) == limits(
        IMAGE, IMAGE.with_array(IMAGE.array * 0 + 1)
    )


@pytest.mark.parametrize("name", ["scans", "flicker", "synth", "spread", "histogram"])
def test_every_figure_says_in_words_what_is_seen(tmp_path, name):
    path = tmp_path / f"{name}.svg"
    image = shown(real=IMAGE, spread=IMAGE)
    draw = {
        "scans": lambda: draw_slices("T1w", IMAGE, MASK, path),
        "flicker": lambda: draw_flicker(("T1w", IMAGE), ("T2w", IMAGE), MASK, path),
        "synth": lambda: draw_synthetic(image, path),
        "spread": lambda: draw_uncertainty(image, path),
        "histogram": lambda: draw_histogram(image, path),
    }
    draw[name]()
    words = ET.fromstring(path.read_text()).get("aria-label")
    assert len(words) > 30
    assert "T1w" in words or "T2w" in words


def test_embedded_pictures_keep_every_pixel(tmp_path):
    """A figure as it is written against what matplotlib wrote, decoded by PIL."""
    figure = Figure(figsize=(3, 2))
    for number, colours in enumerate(("inferno", "gray")):
        axes = figure.add_subplot(1, 2, number + 1)
        axes.imshow(np.arange(64.0).reshape(8, 8), cmap=colours, interpolation="none")
    plain = io.StringIO()
    with rc_context({"image.composite_image": False}):
        figure.savefig(plain, format="svg", dpi=100)
        written = svg_text(figure)

    def pixels(svg):
        data = [re.sub(r"\s", "", d) for d in re.findall(r"image/png;base64,\s*([^\"]+)", svg)]
        return [Image.open(io.BytesIO(base64.b64decode(d))) for d in data]

    before, after = pixels(plain.getvalue()), pixels(written)
    assert len(before) == len(after) == 2
    for one, other in zip(before, after, strict=True):
        assert other.mode in "LP"
        np.testing.assert_array_equal(one.convert("RGB"), other.convert("RGB"))
    assert len(written) < len(plain.getvalue())


def test_the_flicker_has_both_images_and_alternates_them(tmp_path):
    path = draw_flicker(("T1w", IMAGE), ("T2w", IMAGE), MASK, tmp_path / "flicker.svg")
    assert_sound(path)
    svg = path.read_text()
    assert svg.count("<image") == 8
    assert svg.count('id="front-') >= 4
    assert "@keyframes" in svg
    assert "T2w, registered" in text_of(path)
    assert "T1w, reference" in text_of(path)


def test_the_mosaic_grows_by_the_real_image_and_the_error(tmp_path):
    alone = draw_synthetic(shown(), tmp_path / "alone.svg")
    other = IMAGE.with_array(IMAGE.array * 0.9)
    beside = draw_synthetic(shown(real=other), tmp_path / "beside.svg")
    assert_sound(alone)
    assert_sound(beside)
    assert "synthetic T2w" in text_of(alone)
    assert "real T2w" not in text_of(alone)
    assert "real T2w" in text_of(beside)
    assert "arbitrary units" in text_of(beside)
    assert beside.stat().st_size > alone.stat().st_size


def test_the_colour_bar_is_in_the_images_unit(tmp_path):
    ct = Volume(IMAGE.array * 10, UPRIGHT, "HU")
    path = draw_synthetic(
        Shown(Synthetic("ct", ("T1w",), ct, None), {"T1w": IMAGE}, MASK), tmp_path / "ct.svg"
    )
    assert "ct, HU" in text_of(path)


def test_the_spread_is_drawn_where_there_is_one(tmp_path):
    path = draw_uncertainty(shown(spread=IMAGE), tmp_path / "spread.svg")
    assert_sound(path)
    assert "spread" in text_of(path)
    with pytest.raises(ValueError, match="no uncertainty"):
        draw_uncertainty(shown(), tmp_path / "none.svg")


def test_the_histogram_says_what_is_compared(tmp_path):
    scaled = shown(real=IMAGE, scale=Scale(0.0, 100.0))
    path = draw_histogram(scaled, tmp_path / "h.svg", training_range=(1.0, 0.2))
    assert_sound(path)
    words = text_of(path)
    assert "real T2w" in words
    assert "synthetic T2w" in words
    assert "mean ± 2 SD" in words


def test_the_band_of_the_training_visits_moves_with_the_scale_of_the_image(tmp_path, monkeypatch):
    """Scaled 1 +- 0.4 is 60 to 140 where white matter lies at 100, and nothing without a scale."""
    bands = []
    monkeypatch.setattr(Axes, "axvspan", lambda _, low, high, **__: bands.append((low, high)))
    for scale in (Scale(0.0, 100.0), Scale(0.0, 50.0), None):
        image = shown(scale=scale)
        draw_histogram(image, tmp_path / "h.svg", training_range=(1.0, 0.2))
    assert np.array(bands) == pytest.approx(np.array([(60, 140), (30, 70)]), rel=1e-5)


def bars_of(image, planes):
    return {bar.label: bar for bar in comparison(image, planes, doubt=True).bars}


def test_error_and_interval_are_drawn_on_one_scale_with_arrows_where_they_clip():
    half = Interval(IMAGE.with_array(np.full(SHAPE, 5.0, np.float32)), 0.9, 3, ())
    off = np.full(SHAPE, 10.0, np.float32)
    off[4:6] = 300.0
    image = shown(real=IMAGE.with_array(IMAGE.array - off), interval=half)
    planes = choose_planes(MASK, axial=(0.5,))
    bars = bars_of(image, planes)
    error = next(bar for name, bar in bars.items() if name.startswith("synthetic"))
    doubt = next(bar for name, bar in bars.items() if "interval" in name)
    assert error.window == (-doubt.window[1], doubt.window[1])
    assert doubt.window[0] == 0
    beyond = np.abs(off[MASK.array > 0]).max() > doubt.window[1]
    assert error.clips == ("both" if beyond else "neither")
    assert doubt.clips == "neither"
    assert any("of the real scan" in bar.label for bar in bars.values())


def test_a_figure_is_the_same_every_time(tmp_path):
    one = draw_synthetic(shown(real=IMAGE), tmp_path / "one.svg").read_bytes()
    assert draw_synthetic(shown(real=IMAGE), tmp_path / "two.svg").read_bytes() == one


@pytest.mark.real
def test_figures_of_a_real_head_are_small_enough_for_a_page(tmp_path):
    folder = Path(__file__).parents[1] / ".." / "shared" / "data" / "stripped" / "sub-tcga6692"
    if not folder.is_dir():
        pytest.skip("the real scans are not beside the checkout")
    t1w, t2w = (read_volume(folder / "anat" / f"{folder.name}_{m}.nii.gz") for m in ("T1w", "T2w"))
    mask = t1w.with_array((t1w.array > 0).astype(np.uint8))
    real = Shown(Synthetic("T2w", ("T1w",), t2w, t2w, real=t2w), {"T1w": t1w}, mask)
    assert_sound(draw_slices("T1w", t1w, mask, tmp_path / "scans.svg"))
    assert_sound(draw_flicker(("T1w", t1w), ("T2w", t2w), mask, tmp_path / "flicker.svg"))
    assert_sound(draw_synthetic(real, tmp_path / "synth.svg"))
    assert_sound(draw_uncertainty(real, tmp_path / "spread.svg"))
