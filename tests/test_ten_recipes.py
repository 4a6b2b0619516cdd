"""Every recipe fits and synthesises through both levels on the demo, with tiny settings."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_synth.cli.main import run_command
from bids_synth.demo.dataset import make_demo
from bids_synth.modality import MODALITIES
from bids_synth.recipe import load_recipe, recipe_names

pytestmark = pytest.mark.slow
SCANS = ("T1w", "T2w", "FLAIR", "ct", "pet", "cbf", "cbv", "T2map", "T2starmap", "cmro2")
LACKING = {"ct": "ct", "pet": "pet", "perf": "cmro2", "anat": "T2w"}
"""Folder -> suffix of what sub-01 is left without."""
TINY = ("fit.steps=2", "fit.steps_per_epoch=1", "fit.members=2", "network.filters=8")
# So many that one of them has both images of the recipes without pairs.
TESTED = ("--set", "fit.test=0.49")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo dataset whose first participant lacks one target of each task."""
    folder = tmp_path_factory.mktemp("ten")
    make_demo(folder / "bids", participants=6, resolution=4.0, modalities=SCANS, seed=4)
    for datatype, suffix in LACKING.items():
        for path in (folder / "bids/sub-01" / datatype).glob(f"*_{suffix}.*"):
            path.unlink()
    # The truth leaves the dataset, so that its masks are used because they are asked for.
    shutil.move(folder / "bids/derivatives/truth", folder / "truth")
    return folder


def run(place: Path, level: str, name: str, *more: str) -> int:
    job = [str(place / "bids"), str(place / "out"), level, "-w", str(place / "work")]
    return run_command([*job, "--recipe", name, "-d", f"truth={place / 'truth'}", *more])


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_fits_scores_and_fills_in(
    place: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*TESTED, *(part for value in TINY for part in ("--set", value))]
    assert run(place, "group", name, "--sloppy", *options) == 0
    shown = capsys.readouterr().out
    assert "masked3d" in shown
    assert "linear" in shown
    model = place / "out/models" / name
    card = json.loads((model / "model.json").read_text())
    assert len(card["weights"]) == 2
    assert run(place, "participant", name, "--participant-label", "01") == 0
    (target,) = {*LACKING.values()} & {*load_recipe(name).targets}
    modality = MODALITIES[target]
    folder = place / "out/sub-01" / modality.datatype
    (path,) = folder.glob(f"*_desc-synth_{modality.suffix}.nii.gz")
    sidecar = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    assert sidecar["SynthesisModel"]["Recipe"] == name
    assert sidecar["Units"] == load_recipe(name).unit(target)
    made = nib.load(path)
    reference = nib.load(next((place / "bids/sub-01/anat").glob("*_T1w.nii.gz")))
    assert made.shape == reference.shape
    np.testing.assert_allclose(made.affine, reference.affine, rtol=0, atol=1e-5)
    values = made.get_fdata()
    assert np.isfinite(values).all()
    assert values.std() > 0


def test_a_new_task_needs_only_a_file(place: Path) -> None:
    recipe = str(Path(__file__).parent.parent / "docs" / "flair.toml")
    options = [part for value in TINY for part in ("--set", value)]
    assert run(place, "group", recipe, "--sloppy", *options) == 0
    assert (place / "out/models/flair/metrics.tsv").is_file()


def test_all_of_it_satisfies_the_validator(place: Path) -> None:
    if not (place / "out").is_dir():
        pytest.skip("no recipe was run before this test")
    validator = Path(sys.executable).with_name("bids-validator-deno")
    done = subprocess.run([validator, place / "out"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_a_pet_is_named_by_its_tracer_and_written_as_a_ratio(place: Path) -> None:
    found = list((place / "out/sub-01/pet").glob("*_desc-synth_pet.json"))
    if not found:
        pytest.skip("the pet recipes were not run before this test")
    assert all("_trc-PBR28_" in path.name for path in found)
