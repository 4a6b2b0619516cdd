"""Output spaces: which templates are accepted, and where the copies lie in them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bids_fixtures import NATIVE, make_dataset, make_prepared, make_synthetic, volume

from bids_synth.bids.derivatives.copies import copy_is_current, write_copies
from bids_synth.bids.derivatives.dataset import open_output
from bids_synth.bids.derivatives.synthetic import write_synthetic, written_synthetic
from bids_synth.cli.spaces import EMBEDDED, RESOLUTIONS, output_spaces
from bids_synth.core.settings import OutputSpace
from bids_synth.core.visit import Prepared, Visit
from bids_synth.prepare.to_template import space_grid, to_template
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.itk import read_itk, write_itk
from bids_synth.spatial.template import SPACE, template_mask, template_t1w
from bids_synth.spatial.volume import Volume, read_grid, write_volume

RES2 = OutputSpace(SPACE, "2")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TemplateFlow home with one whole template and one whose content is absent."""
    folder = tmp_path / "templateflow"
    for name, content in (("Whole", True), ("MNI152NLin2009cAsym", False)):
        for what in ("T1w", "desc-brain_mask"):
            path = folder / f"tpl-{name}" / f"tpl-{name}_res-02_{what}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            if content:
                write_volume(volume(NATIVE), path)
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(folder))
    return folder


def accepted(*given: str) -> tuple[tuple[OutputSpace, ...], list[str]]:
    problems: list[str] = []
    return output_spaces(given, problems), problems


def test_the_embedded_template_goes_by_its_own_name() -> None:
    assert EMBEDDED == SPACE
    values = template_t1w().array
    centre = template_t1w().grid.to_index([[0.0, 0.0, 0.0]])[0, 0]
    mirror = np.rint(2 * centre - np.arange(values.shape[0])).astype(int)
    inside = (mirror >= 0) & (mirror < values.shape[0])
    assert np.array_equal(values[inside], values[mirror[inside]]), "Sym means left equals right"


def test_native_is_no_template_and_the_embedded_one_is_always_there(home: Path) -> None:
    assert accepted("native", "anat", "T1w") == ((), [])
    assert accepted(SPACE, f"{SPACE}:res-1") == ((OutputSpace(SPACE, "1"),), [])
    assert accepted(f"{SPACE}:res-2") == ((RES2,), [])


def test_a_template_with_content_is_used_and_an_empty_file_is_none(home: Path) -> None:
    (found,), problems = accepted("Whole:res-2")
    assert problems == []
    assert found.image == home / "tpl-Whole/tpl-Whole_res-02_T1w.nii.gz"
    spaces, problems = accepted("MNI152NLin2009cAsym:res-2", "Whole:res-1", f"{SPACE}:res-9")
    assert spaces == ()
    assert len(problems) == 3
    assert "nothing is downloaded" in problems[0]
    assert "Whole:res-2" in problems[0]


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_the_grids_of_the_embedded_template_cover_the_same_head(resolution: str) -> None:
    grid, fine = space_grid(OutputSpace(SPACE, resolution)), template_t1w().grid
    assert grid.spacing == pytest.approx((float(resolution),) * 3)
    low, high = (g.to_mm([[-0.5] * 3, np.array(g.shape) - 0.5]) for g in (grid, fine))
    assert np.abs(low - high).max() <= float(resolution)


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """A visit whose head is the template's, turned, scaled and moved by a known affine."""
    dataset = make_dataset(tmp_path / "bids")
    known = make_prepared(tmp_path / "work", dataset, Visit("01", None, {}), {"T1w": {}})
    turn = np.deg2rad(20)
    affine = np.array(
        [
            [1.1 * np.cos(turn), -np.sin(turn), 0, 5],
            [np.sin(turn), np.cos(turn), 0, -8],
            [0, 0, 0.9, 3],
            [0, 0, 0, 1],
        ]
    )
    write_itk(affine, known.template)
    grid = Grid((70, 80, 70), np.diag([3.0, 3.0, 3.0, 1]) + _shift(-105, -120, -90))
    whole = Volume(np.ones(grid.shape, np.uint8), grid)
    return replace(known, grid=grid, mask=write_volume(whole, tmp_path / "whole.nii.gz"))


def _shift(*mm: float) -> np.ndarray:
    matrix = np.zeros((4, 4))
    matrix[:3, 3] = mm
    return matrix


def test_a_landmark_of_the_visit_comes_to_its_place_in_the_template(prepared: Prepared) -> None:
    """Oracle: the affine itself, applied to points; the image is a ramp along each axis."""
    places = prepared.grid.to_mm(np.argwhere(np.ones(prepared.grid.shape)))
    target = space_grid(RES2)
    points = target.to_mm(np.argwhere(np.ones(target.shape)))
    affine = read_itk(prepared.template)
    there = points @ affine[:3, :3].T + affine[:3, 3]
    inside = prepared.grid.to_index(there)
    seen = ((inside >= 1) & (inside <= np.array(prepared.grid.shape) - 2)).all(1)
    assert seen.sum() > 100_000
    for axis in range(3):
        ramp = places[:, axis].reshape(prepared.grid.shape).astype(np.float32)
        made = to_template(Volume(ramp, prepared.grid), prepared, RES2, seed=1)
        difference = made.array.ravel()[seen] - there[seen, axis]
        assert np.abs(difference).max() < 1e-3


def test_copies_are_valid_derivatives_that_name_their_original(
    prepared: Prepared, tmp_path: Path
) -> None:
    output, dataset = tmp_path / "out", tmp_path / "bids"
    open_output(output, dataset=dataset, version="1", derivatives={})
    model = {"Name": "m", "WeightsSHA256": "ab", "SourceModalities": ["T1w"], "Members": 2}
    files = write_synthetic(
        make_synthetic("T2w", ("T1w",)), prepared, output,
        dataset=dataset, model=model,
    )  # fmt: skip
    coarse = volume(Grid((5, 5, 5), np.diag([40.0, 40.0, 40.0, 1])))
    images = [path for path in files if path.suffix != ".json"]
    assert not copy_is_current(files[0], RES2, output)
    copies = write_copies(dict.fromkeys(images, coarse), prepared, RES2, output)
    assert copies[0].name == f"sub-01_space-{SPACE}_res-2_desc-synth_T2w.nii.gz"
    assert read_grid(copies[0]).matches(coarse.grid)
    sidecar = json.loads(copies[1].read_text())
    original = files[0].relative_to(output).as_posix()
    assert sidecar["Sources"][0] == f"bids::{original}"
    assert sidecar["Sources"][1].endswith(f"from-T1w_to-{SPACE}_mode-image_xfm.txt")
    assert sidecar["Synthetic"] is True
    assert sidecar["Uncertainty"]["Map"] == f"bids::{copies[2].relative_to(output).as_posix()}"
    assert copy_is_current(files[0], RES2, output)
    found = written_synthetic(prepared.visit, prepared, "T2w", output)
    assert found is not None
    assert found[0] == files[0], "a copy is never taken for the original"
    copies[1].write_text(json.dumps(sidecar | {"PreparationKey": "other"}))
    assert not copy_is_current(files[0], RES2, output)


def test_the_validator_knows_the_names_of_copies(prepared: Prepared, tmp_path: Path) -> None:
    output = tmp_path / "out"
    test_copies_are_valid_derivatives_that_name_their_original(prepared, tmp_path)
    validator = Path(sys.executable).with_name("bids-validator-deno")
    done = subprocess.run([validator, output], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.slow
def test_another_template_is_reached_through_the_embedded_one(
    prepared: Prepared, tmp_path: Path
) -> None:
    """Oracle: a template that is the embedded one moved by a known shift."""
    moved = template_t1w().grid
    shift = np.array([12.0, -7.0, 5.0])
    grid = Grid(moved.shape, moved.affine + _shift(*shift))
    image = write_volume(Volume(template_t1w().array, grid), tmp_path / "t.nii.gz")
    mask = write_volume(Volume(template_mask().array, grid), tmp_path / "m.nii.gz")
    other = OutputSpace("Other", "1", image, mask)
    affine = read_itk(prepared.template)
    x = prepared.grid.to_mm(np.argwhere(np.ones(prepared.grid.shape)))[:, 0]
    ramp = Volume(x.reshape(prepared.grid.shape).astype(np.float32), prepared.grid)
    made = to_template(ramp, prepared, other, seed=1)
    points = grid.to_mm(np.argwhere(template_mask().array > 0)) - shift
    there = points @ affine[:3, :3].T + affine[:3, 3]
    index = prepared.grid.to_index(there)
    seen = ((index >= 1) & (index <= np.array(prepared.grid.shape) - 2)).all(1)
    difference = made.array[template_mask().array > 0][seen] - there[seen, 0]
    assert seen.sum() > 100_000
    assert np.sqrt(np.mean(difference**2)) < 0.5
