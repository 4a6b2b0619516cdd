"""The viewer: it packs what the images hold, within its bounds, and a browser shows it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from browser import browser
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Image
from nibabel.processing import resample_from_to
from test_report_pages import make_report, write_visit_figures

from bids_synth.core.synthetic import Interval, Synthetic
from bids_synth.report.figures.synthetic import Shown
from bids_synth.report.pages.participant import write_participant_report
from bids_synth.report.viewer import volumes
from bids_synth.report.viewer.volumes import packed_grid, script, write_volumes
from bids_synth.spatial.grid import Grid, reorient
from bids_synth.spatial.volume import Volume

SHAPE = (24, 30, 26)
GRID = Grid(SHAPE, np.array([[2, 0, 0, -24], [0, 2, 0, -30], [0, 0, 2, -26], [0, 0, 0, 1.0]]))
POINTS = GRID.to_mm(np.moveaxis(np.indices(SHAPE), 0, -1))
BALL = (np.linalg.norm(POINTS, axis=-1) < 20).astype(np.uint8)
MASK = Volume(BALL, GRID)


def ramp(axis: int, gain: float = 1.0, unit: str = "arbitrary") -> Volume:
    """A value that grows evenly along an axis of the world."""
    return Volume((100 + gain * POINTS[..., axis]).astype(np.float32), GRID, unit)


def shown(**more) -> Shown:
    more = {"spread": None, "real": ramp(1)} | more
    return Shown(Synthetic("T2w", ("T1w",), ramp(0), **more), {"T1w": ramp(2)}, MASK)


def content_of(path: Path) -> dict:
    return json.loads(path.read_text().split("] = ", 1)[1].rstrip(";\n"))


def unpacked(text: str, shape) -> np.ndarray:
    data = gzip.decompress(base64.b64decode(text))
    return np.frombuffer(data, np.uint8).reshape(shape, order="F")


def test_the_volumes_hold_the_values_of_the_images(tmp_path):
    """Against nibabel's resampling onto the grid that the script names."""
    half = Interval(ramp(0, 0.1), 0.9, 4, ())
    told = content_of(write_volumes(shown(interval=half), tmp_path / "v.js"))
    assert [x["kind"] for x in told["layers"]] == ["source", "synthetic", "real", "doubt"]
    affine = np.array([*told["affine"], [0, 0, 0, 1]])
    mask = unpacked(told["mask"], told["shape"]) > 0
    for layer, image in zip(
        told["layers"], (ramp(2), ramp(0), ramp(1), half.half_width), strict=True
    ):
        source = Nifti1Image(image.array, image.grid.affine)
        expected = resample_from_to(source, (told["shape"], affine), order=1).get_fdata()
        low, high = layer["ends"]
        values = low + unpacked(layer["levels"], told["shape"]) * (high - low) / 255
        inside = np.clip(expected[mask], low, high)
        np.testing.assert_allclose(values[mask], inside, atol=0.51 * (high - low) / 255)
    assert mask.sum() * told["spacing"] ** 3 == pytest.approx(BALL.sum() * 8, rel=0.05)
    synthetic = unpacked(told["layers"][1]["levels"], told["shape"])
    assert not synthetic[~mask].any(), "nothing is synthetic outside the mask"


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations(range(3)),
    flips=st.tuples(*(st.booleans() for _ in range(3))),
    images=st.integers(1, 9),
    most=st.integers(10, 10**6),
)
def test_the_grid_is_upright_around_the_mask_and_within_its_bound(order, flips, images, most):
    affine = GRID.affine.copy()
    for axis, flip in enumerate(flips):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (SHAPE[axis] - 1)
            affine[:3, axis] *= -1
    grid = Grid(tuple(SHAPE[axis] for axis in order), affine[:, [*order, 3]])
    mask = Volume(reorient(BALL, GRID, grid), grid)
    packed = packed_grid(mask, images, most=most)
    assert packed.orientation == "RAS"
    assert np.ptp(packed.spacing) < 1e-6
    assert images * np.prod(packed.shape) <= max(most, images)
    assert packed.spacing[0] >= 2.0
    other = packed_grid(MASK, images, most=most)
    assert packed.matches(other, tolerance=1e-4)
    if images * np.prod(packed.shape) < most / 4:
        assert packed.spacing[0] == pytest.approx(2.0, abs=0.06)


def test_a_head_of_any_size_gives_a_script_of_some_megabytes(tmp_path, monkeypatch):
    """Noise, which no compression helps, at the bound."""
    monkeypatch.setattr(volumes, "MOST", 100_000)
    noise = Volume(np.random.default_rng(0).uniform(0, 9, SHAPE).astype(np.float32), GRID)
    everywhere = MASK.with_array(np.ones(SHAPE, np.uint8))
    image = Shown(Synthetic("T2w", ("T1w",), noise, noise, real=noise), {"T1w": noise}, everywhere)
    assert write_volumes(image, tmp_path / "v.js").stat().st_size < 1.5 * 100_000
    assert write_volumes(image, tmp_path / "w.js", targets=1000).stat().st_size < 60_000


def test_no_text_ends_the_script_and_volumes_are_the_same_every_time(tmp_path):
    assert "</" not in script("</script>", {"a": "</script><!--\u2028"})
    one = write_volumes(shown(), tmp_path / "a" / "v.js").read_bytes()
    assert write_volumes(shown(), tmp_path / "b" / "v.js").read_bytes() == one


# --- in a browser


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_visit_figures(folder / "out", make_report(folder / "work", None))
    return write_participant_report(folder / "out", "01")


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def page(window, report):
    """The page with its viewer on the screen and a click in the axial plane."""
    shown_in(window, report)
    return window


def shown_in(window, path, **looks):
    window.look(**looks)
    window.open(path)
    window.run("document.querySelector('.viewer').scrollIntoView({behavior: 'instant'})")
    window.until("document.querySelector('.viewer').viewer")
    window.run("const viewer = document.querySelector('.viewer').viewer; 0")
    window.run("viewer.panels[0].canvas.scrollIntoView({block: 'center', behavior: 'instant'}); 0")


def middle(window, panel=0) -> tuple[float, float]:
    box = window.run(
        f"(b => [b.left + b.width / 2, b.top + b.height / 2])"
        f"(viewer.panels[{panel}].canvas.getBoundingClientRect())"
    )
    return box[0], box[1]


def test_wheel_and_arrow_keys_go_through_the_slices_and_all_planes_follow(page):
    x, y = middle(page)
    before = page.run("viewer.at[2]")
    page.click((x, y))
    page.wheel((x, y), -120)
    page.until(f"viewer.at[2] === {before} + 1")
    assert middle(page) == pytest.approx((x, y)), "the page did not scroll"
    page.wheel((x, y), 120)
    page.until(f"viewer.at[2] === {before}")
    picture = "viewer.panels.map(p => p.canvas.toDataURL())"
    old = page.run(picture)
    page.press("ArrowUp")
    assert page.run("viewer.at[2]") == before + 1
    assert all(a != b for a, b in zip(old, page.run(picture), strict=True))
    page.press("ArrowDown")
    page.press("ArrowDown")
    assert page.run("viewer.at[2]") == before - 1
    page.press("ArrowRight", shift=True)
    page.press("ArrowUp", shift=True)
    page.press("PageUp")
    assert page.messages == []


def test_the_wheel_scrolls_the_page_until_a_person_is_in_the_viewer(page):
    x, y = middle(page)
    before, place = page.run("viewer.at[2]"), page.run("window.scrollY")
    page.wheel((x, y), 300)
    page.until(f"window.scrollY > {place}")
    assert page.run("viewer.at[2]") == before


def test_a_click_moves_the_crosshair_to_where_it_is_and_tells_the_values(page, report):
    """Right is left: the value told is that of the voxel under the pointer, from the script."""
    told = content_of(next(report.parent.glob("sub-01/figures/*viewer_T2w.js")))
    left, top, scale = page.run(
        "(p => [p.canvas.getBoundingClientRect().left + p.place.left,"
        "p.canvas.getBoundingClientRect().top + p.place.top, p.place.scale])(viewer.panels[0])"
    )
    nx, ny, _ = told["shape"]
    i, j, k = nx // 3, ny // 3, page.run("viewer.at[2]")
    page.click((left + (nx - i - 0.5) * scale, top + (ny - j - 0.5) * scale))
    assert page.run("viewer.at") == [i, j, k]
    at = np.array(told["affine"]) @ [i, j, k, 1]
    words = page.run("viewer.place.textContent").replace("\N{MINUS SIGN}", "-")
    numbers = [float(n) for n in re.findall(r"[xyz] (-?\d+)", words)]
    np.testing.assert_allclose(numbers, at, atol=0.51)
    rows = page.run("[...viewer.values.rows].map(r => r.innerText)")
    for row, layer in zip(rows, told["layers"], strict=False):
        low, high = layer["ends"]
        value = low + unpacked(layer["levels"], told["shape"])[i, j, k] * (high - low) / 255
        number = float(re.search(r"(-?[\d.]+) arbitrary", row)[1])
        assert number == pytest.approx(value, abs=(high - low) / 255)
    rows = [row.replace("\N{MINUS SIGN}", "-") for row in rows]
    numbers = [float(re.search(r"(-?[\d.]+) arb", row)[1]) for row in rows]
    kinds = page.run("viewer.layers.map(l => l.kind)")
    error, real, made = (numbers[kinds.index(kind)] for kind in ("error", "real", "synthetic"))
    assert error == pytest.approx(made - real, abs=2)


def test_flicker_keys_alternate_synthetic_with_real_and_with_the_source(page):
    page.click(middle(page))
    shown_name = "viewer.layers[viewer.image].name"
    assert page.run(shown_name) == "synthetic T2w"
    for key, other in (("f", "real T2w"), ("g", "T1w")):
        page.press(key)
        assert page.run(shown_name) == other
        page.until(f"{shown_name} === 'synthetic T2w'")
        page.until(f"{shown_name} === '{other}'")
        page.press(key)
        page.run("viewer.show(viewer.first('synthetic'))")
    assert page.run("viewer.timer") is None
    assert page.messages == []


def test_where_motion_is_not_wanted_each_press_shows_the_other_image(window, report):
    shown_in(window, report, calm=True)
    window.click(middle(window))
    window.press("f")
    assert window.run("viewer.layers[viewer.image].name") == "real T2w"
    assert window.run("viewer.timer") is None
    window.press("f")
    assert window.run("viewer.layers[viewer.image].name") == "synthetic T2w"


def test_overlay_opacity_outline_and_every_control_have_a_key_or_a_name(page):
    page.click(middle(page))
    picture = "viewer.panels[0].canvas.toDataURL()"
    seen = [page.run(picture)]
    for key in ("o", "]", "m", "c", "1"):
        page.press(key)
        seen.append(page.run(picture))
    assert len(set(seen)) == len(seen)
    assert "error laid over it" in page.run("viewer.panels[0].canvas.getAttribute('aria-label')")
    page.press("0")
    assert page.run(picture) == seen[0] or page.run("viewer.overlay") == -1
    nameless = page.run(
        "[...document.querySelectorAll('.viewer :is(button, select, input, canvas)')].filter(e =>"
        "!e.textContent.trim() && !e.getAttribute('aria-label') && !e.labels?.length).length"
    )
    assert nameless == 0
    assert page.messages == []


def test_all_images_of_one_plane_stand_side_by_side(page):
    page.run("viewer.view = 'coronal'; viewer.arrange()")
    names = page.run("viewer.panels.map(p => p.title.textContent.slice(2))")
    assert names == page.run("viewer.layers.map(l => l.name)")
    assert page.run("new Set(viewer.panels.map(p => p.canvas.toDataURL())).size") == len(names)


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_from_the_disk_loads_all_and_nothing_from_elsewhere(window, report, width, scheme):
    shown_in(window, report, width=width, dark=scheme == "dark")
    assert window.run("document.documentElement.scrollWidth <= window.innerWidth")
    assert all(url.startswith(("file://", "data:")) for url in window.requests)
    assert window.messages == []
    ground, ink = (
        window.run(f"getComputedStyle(document.querySelector('section')).{key}")
        for key in ("backgroundColor", "color")
    )
    bright = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ground, ink)]
    assert (bright[0] > bright[1]) == (scheme == "light")
    assert abs(bright[0] - bright[1]) > 400


def test_an_embedded_page_works_alone_in_another_folder(window, report, tmp_path):
    alone = tmp_path / "mailed.html"
    path = write_participant_report(report.parent, "01", embed=True)
    alone.write_bytes(path.read_bytes())
    write_participant_report(report.parent, "01")
    shown_in(window, alone)
    broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).length"
    window.run("document.querySelectorAll('img').forEach(i => { i.loading = 'eager'; })")
    window.until("[...document.images].every(i => i.complete)")
    assert window.run(broken) == 0
    assert [url for url in window.requests if url.startswith("file://")] == [alone.as_uri()]
    assert window.messages == []


def test_volumes_that_were_not_copied_along_are_told(window, report, tmp_path):
    alone = tmp_path / "page.html"
    alone.write_bytes(report.read_bytes())
    window.open(alone)
    window.run("document.querySelector('.viewer').scrollIntoView({behavior: 'instant'})")
    window.until(
        "document.querySelector('.viewer [role=status]').textContent.includes('is not beside')"
    )


def test_the_printed_page_has_every_section(window, report, tmp_path):
    window.open(report)
    assert window.print_to(tmp_path / "page.pdf").stat().st_size > 20_000
