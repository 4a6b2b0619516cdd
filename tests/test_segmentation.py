"""Tissues of a head: found wherever it lies, on any grid; the mask ends at the surface."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prepare_phantom import make_scan, motion, rms_error, truth_mask
from scipy import ndimage

from bids_synth.errors import ModelError, VisitError
from bids_synth.prepare.brain.find_brain import find_brain
from bids_synth.prepare.brain.network_mask import brain_of, expected, mask_by_network
from bids_synth.segmentation import tissues as module
from bids_synth.segmentation.network import CLASSES
from bids_synth.segmentation.tissues import Tissues, normalized, tissue_network, tissues_of
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume, write_volume

GREYS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The grey of each class, in their order, for a network that knows nothing else."""


class ByGrey(torch.nn.Module):
    """The class whose grey is nearest."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([-1000 * (image - grey) ** 2 for grey in GREYS], dim=1)


def ball(spacing: tuple[float, float, float], centre: tuple[float, float, float]) -> Volume:
    """A head of shells, 110 mm wide, whose greys are those of `ByGrey`."""
    shape = tuple(round(220 / s) for s in spacing)
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    affine[:3, 3] = [110, -110, -110]
    grid = Grid((shape[0], shape[1], shape[2]), affine)
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    far = np.linalg.norm(grid.to_mm(index) - np.asarray(centre), axis=-1)
    image = np.zeros(grid.shape, np.float32)
    for radius, name in ((55, "head"), (48, "csf"), (44, "grey"), (30, "white")):
        image[far < radius] = GREYS[CLASSES.index(name)]
    return Volume(image, grid)


@settings(max_examples=4, deadline=None)
@given(
    st.tuples(*(st.floats(1.5, 3.5),) * 3),
    st.tuples(*(st.floats(-30, 30),) * 3),
)
def test_tissues_are_found_wherever_the_head_lies(spacing, centre):
    found = tissues_of(ball(spacing, centre), ByGrey())
    np.testing.assert_allclose(found.maps.sum(0), 1, atol=1e-5)
    index = np.moveaxis(np.indices(found.grid.shape), 0, -1)
    far = np.linalg.norm(found.grid.to_mm(index) - np.asarray(centre), axis=-1)
    for name, part in {
        "white": far < 24,
        "grey": (far > 36) & (far < 38),
        "background": far > 62,
    }.items():
        share = found.of(name).array[part]
        assert share.size > 0
        assert share.mean() > 0.97
    ends = found.grid.to_mm([[0, 0, 0], np.asarray(found.grid.shape) - 1])
    np.testing.assert_allclose(ends.mean(0), centre, atol=3.0)


def test_a_large_brain_is_seen_whole():
    """190 mm long and 160 mm high (the largest of adults), its mass above its middle."""
    grid = Grid((80, 90, 80), np.diag([3.0, 3.0, 3.0, 1.0]))
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    x, y, z = np.moveaxis(grid.to_mm(index) - np.asarray([120.0, 130.0, 120.0]), -1, 0)
    height = np.where(z > 0, 70.0, 90.0)
    width = np.where(z > 0, 1.0, np.clip(1 + z / 120, 0.3, 1))
    brain = (x / (75 * width)) ** 2 + (y / (95 * width)) ** 2 + (z / height) ** 2 < 1
    tissues = tissues_of(Volume(np.where(brain, 1.0, 0.0).astype(np.float32), grid), ByGrey())
    found = tissues.brain.sum() * 8
    assert found == pytest.approx(brain.sum() * 27, rel=0.03)
    faces = [np.take(tissues.brain, n, axis) for axis in range(3) for n in (0, -1)]
    assert max(face.max() for face in faces) < 0.5


@given(st.floats(0.1, 1e4), st.floats(-1e3, 1e3))
def test_greys_have_no_unit(gain, offset):
    image = torch.linspace(0, 1, 1000).reshape(10, 10, 10)
    torch.testing.assert_close(
        normalized(gain * image + offset), normalized(image), atol=2e-2, rtol=0
    )


def painted(brain: np.ndarray, fluid: np.ndarray) -> tuple[Volume, Tissues]:
    """An image by `GREYS` at 2 mm, noisy, and its tissues, blurred as a network has them."""
    grid = Grid((60, 60, 60), np.diag([2.0, 2.0, 2.0, 1.0]))
    fluid = fluid & ~brain
    head = ndimage.binary_dilation(brain | fluid, iterations=6) & ~brain & ~fluid
    parts = {"background": ~(brain | fluid | head), "head": head, "csf": fluid, "white": brain}
    maps = np.zeros((len(CLASSES), *brain.shape), np.float32)
    image = np.random.default_rng(1).normal(0, 0.02, brain.shape).astype(np.float32)
    for name, part in parts.items():
        number = CLASSES.index(name)
        maps[number] = ndimage.gaussian_filter(part.astype(np.float32), 1.5)
        image[part] += GREYS[number]
    return Volume(image, grid), Tissues(maps / maps.sum(0), grid)


def seen(image: Volume, tissues: Tissues) -> np.ndarray:
    return brain_of(image, np.ones(image.grid.shape, bool), tissues)


INDEX = np.indices((60, 60, 60)) - 30
FAR = np.sqrt((INDEX**2).sum(0))


def test_the_mask_holds_furrows_and_ventricles_but_not_the_fluid_outside():
    ventricle = (FAR < 6) | ((np.abs(INDEX[:2]) <= 1).all(0) & (INDEX[2] < 0))
    furrow = (np.abs(INDEX[0]) <= 1) & (INDEX[2] > 12)
    brain = (FAR < 20) & ~ventricle & ~furrow
    mask = seen(*painted(brain, FAR < 24))
    assert mask[FAR < 6].all()
    assert mask[furrow & (FAR < 17)].all()
    assert mask[brain].mean() > 0.98
    assert mask[FAR > 21.5].mean() < 0.01
    assert ndimage.label(mask)[1] == 1


def test_the_greys_decide_where_the_brain_ends():
    """The network's outline is 4 mm too wide; the mask is not."""
    image, _ = painted(FAR < 18, FAR < 21)
    _, wide = painted(FAR < 20, FAR < 23)
    mask = seen(image, wide)
    assert mask[FAR < 17].mean() > 0.99
    assert mask[FAR > 19.5].mean() < 0.01


@pytest.mark.parametrize("name", CLASSES)
def test_what_the_network_is_sure_of_is_expected(name):
    maps = np.zeros((len(CLASSES), 20, 20, 20), np.float32)
    maps[CLASSES.index(name)] = 1
    tissues = Tissues(maps, Grid((20, 20, 20), np.diag([2.0, 2.0, 2.0, 1.0])))
    outline = np.zeros((20, 20, 20), bool)
    outline[:3] = True
    likely = expected(tissues, outline)
    np.testing.assert_allclose(likely.sum(0), 1, atol=1e-5)
    places = {"white": [0], "grey": [1], "csf": [2], "head": [3, 4], "background": [5]}
    assert likely[places[name]].sum(0).min() > 0.99


def test_a_small_field_of_view_is_looked_at_too():
    cube = Volume(
        np.random.default_rng(1).random((8, 9, 10), np.float32), Grid((8, 9, 10), np.eye(4))
    )
    assert tissues_of(cube).maps.shape[0] == len(CLASSES)


def test_where_no_brain_is_seen_none_is_found(monkeypatch: pytest.MonkeyPatch):
    _, nothing = painted(FAR < 0, FAR < 0)
    path = "bids_synth.prepare.brain.network_mask.tissues_of"
    monkeypatch.setattr(path, lambda _: nothing)
    image = Volume(np.zeros((9, 9, 9), np.float32), Grid((9, 9, 9), np.eye(4)))
    assert mask_by_network(image, seed=1) is None


def test_the_network_of_the_package_is_whole_and_says_where_it_is_from():
    card = json.loads((module.FOLDER / "model.json").read_text("utf-8"))
    assert tuple(card["classes"]) == CLASSES
    assert "Apache-2.0" in card["licence"]
    assert tissue_network()(torch.zeros(1, 1, 64, 32, 32)).shape == (1, len(CLASSES), 64, 32, 32)


FORKED = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import numpy as np, torch
from bids_synth.segmentation.tissues import tissues_of
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume
torch.set_num_threads(2)
image = torch.rand(1, 8, 64, 64, 64)
torch.nn.functional.conv3d(image, torch.rand(8, 8, 3, 3, 3)).float().exp().sum()
image.half().float()
grid = Grid((40, 40, 40), np.eye(4))
cube = Volume(np.random.default_rng(1).random(grid.shape, np.float32), grid)
with ProcessPoolExecutor(1, get_context("fork")) as pool:
    print(pool.submit(tissues_of, cube).result().maps.shape[0])
"""


def test_a_step_that_is_forked_after_a_fit_comes_to_its_end():
    """Threads of the parent do not exist in it: waiting for them would take for ever."""
    command = [sys.executable, "-c", FORKED]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == str(len(CLASSES))


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = shutil.copytree(module.FOLDER, tmp_path / "tissues")
    monkeypatch.setattr(module, "FOLDER", folder)
    with (folder / "weights.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match=r"weights\.safetensors is not the file"):
        tissue_network.__wrapped__()
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match="expected weights"):
        tissue_network.__wrapped__()


@pytest.mark.parametrize("modality", ["T1w", "T2w", "FLAIR"])
def test_the_network_finds_the_brain_of_a_tilted_head(modality):
    moved = motion((12.0, -15.0, 20.0), (8.0, -4.0, 6.0))
    head = make_scan(modality, spacing=3.0, stripped=False, moved=moved, bias=0.25)
    found = mask_by_network(head, seed=1)
    assert found is not None
    mask, affine = found
    assert rms_error(affine, moved, truth_mask(3.0)) < 6
    truth = resample(truth_mask(3.0), head.grid, transform=np.linalg.inv(moved), order=0)
    assert mask.grid.matches(head.grid)
    both = 2 * (mask.array & truth.array).sum() / (mask.array.sum() + truth.array.sum())
    assert both > 0.90


def test_the_network_is_asked_by_option_and_says_where_it_sees_nothing(tmp_path, monkeypatch):
    head = make_scan("T1w", spacing=4.0, stripped=False)
    path = write_volume(head, tmp_path / "scan.nii.gz")
    told = {"option": "network", "region": "brain", "mask_file": None, "seed": 1}
    brain = find_brain(head, path, **told)
    known, affine = mask_by_network(head, seed=1)
    np.testing.assert_array_equal(brain.mask.array, known.array)
    np.testing.assert_array_equal(brain.template, affine)
    monkeypatch.setattr(
        "bids_synth.prepare.brain.find_brain.mask_by_network", lambda *_, **__: None
    )
    with pytest.raises(VisitError, match=r"sees no brain.*--skull-strip template"):
        find_brain(head, path, **told)
