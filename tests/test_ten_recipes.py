"""Every recipe learns something on the demo, through both levels, with tiny settings."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

from bids_synth.cli.main import run_command
from bids_synth.cli.parser import build_parser
from bids_synth.cli.resolve import resolve
from bids_synth.core.modality import MODALITIES
from bids_synth.demo.dataset import make_demo
from bids_synth.evaluate.score import score_withheld
from bids_synth.learn.model.model import load_model
from bids_synth.learn.networks import build_network
from bids_synth.learn.synthesize import load_synthesizer
from bids_synth.pipeline.discover import discover
from bids_synth.pipeline.prepare_visits import prepare_all
from bids_synth.recipe.recipe import load_recipe, recipe_names

pytestmark = pytest.mark.slow
SCANS = ("T1w", "T2w", "FLAIR", "ct", "pet", "cbf", "cbv", "T2map", "T2starmap", "cmro2")
LACKING = {"ct": "ct", "pet": "pet", "perf": "cmro2", "anat": "T2w"}
"""Folder -> suffix of what sub-01 is left without."""
TINY = ("fit.steps=2", "fit.steps_per_epoch=1", "fit.members=2")
NARROW = {"impute": ("network.width=16", "fit.batch=2")}
"""What makes the network of a recipe small where it is not fewer filters."""
FEWER = ("network.filters=8",)
FLOORS = {
    **dict.fromkeys(("ct", "cyclegan-structure", "impute", "pet"), ("linear", -0.5)),
    "cmro2": ("mean", 2.0),
}
"""Recipes whose network begins with a linear answer -> baseline, and dB from it that two steps
may not fall below; that of cmro2 begins in logarithms, the baseline `linear` in values."""
LEARNING = (
    *("fit.steps=40", "fit.steps_per_epoch=20", "fit.members=2"),
    *("fit.learning_rate=2e-3", "fit.decay=constant", "fit.ema=0.5"),
)
"""For the others: enough to leave the answer of random weights behind."""
# So many that one of them has both images of the recipes without pairs.
TESTED = ("--set", "fit.test=0.49")
GAINED = 1.0
"""dB that these must gain over random weights, on participants that nothing has learned from."""


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


def job(place: Path, level: str, name: str) -> list[str]:
    words = [str(place / "bids"), str(place / "out"), level, "-w", str(place / "work")]
    return [*words, "--recipe", name, "-d", f"truth={place / 'truth'}"]


def run(place: Path, level: str, name: str, *more: str) -> int:
    return run_command([*job(place, level, name), *more])


def fit(place: Path, name: str) -> Path:
    """The model of a recipe, fitted once, whichever test asks first."""
    model = place / "out/models" / name
    if not (model / "metrics.tsv").is_file():
        values = (*(TINY if name in FLOORS else LEARNING), *NARROW.get(name, FEWER))
        options = [*TESTED, *(part for value in values for part in ("--set", value))]
        assert run(place, "group", name, "--sloppy", *options) == 0
    return model


def fill(place: Path, name: str) -> Path:
    """What the model makes for sub-01, made once, whichever test asks first."""
    fit(place, name)
    (target,) = {*LACKING.values()} & {*load_recipe(name).targets}
    modality = MODALITIES[target]
    folder = place / "out/sub-01" / modality.datatype
    assert run(place, "participant", name, "--participant-label", "01") == 0
    (path,) = folder.glob(f"*_desc-synth_{modality.suffix}.nii.gz")
    return path


def scores(model: Path, method: str) -> pd.DataFrame:
    """Of a method on the test participants, from whom nothing was learned."""
    rows = pd.read_csv(model / "metrics.tsv", sep="\t", na_values=["n/a"], dtype={"visit": str})
    chosen = rows[(rows["method"] == method) & (rows["protocol"] == "masked3d")]
    assert len(chosen)
    assert np.isfinite(chosen["psnr"]).all()
    return chosen


def untouched(place: Path, name: str) -> float:
    """PSNR of random weights on the same participants and sources."""
    model = load_model(fit(place, name))
    settings = resolve(build_parser().parse_args(job(place, "group", name)))
    visits = discover(settings, model.recipe).visits
    prepared, _ = prepare_all(visits, model.recipe, settings)
    torch.manual_seed(0)
    network = build_network(model.recipe).eval()
    synthesizer = replace(load_synthesizer(model, "cpu"), networks=(network,))
    found = []
    for row in scores(model.folder, "model").itertuples():
        sources = row.sources.split("+")
        made = synthesizer.synthesize(prepared[row.visit], row.target, sources=sources)
        rows = score_withheld(made, model, None, prepared[row.visit]).rows
        found.append(rows.loc[rows["protocol"] == "masked3d", "psnr"].iloc[0])
    return float(np.mean(found))


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_fits_beats_its_floor_and_fills_in(place: Path, name: str) -> None:
    model = fit(place, name)
    card = json.loads((model / "model.json").read_text())
    assert len(card["weights"]) == 2
    reached = scores(model, "model")["psnr"].mean()
    if name in FLOORS:
        method, above = FLOORS[name]
        assert reached >= scores(model, method)["psnr"].mean() + above
    else:
        assert reached >= untouched(place, name) + GAINED
    path = fill(place, name)
    (target,) = {*LACKING.values()} & {*load_recipe(name).targets}
    sidecar = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    assert sidecar["SynthesisModel"]["Recipe"] == name
    assert sidecar["Units"] == load_recipe(name).unit(target)
    made = nib.load(path)
    reference = nib.load(next((place / "bids/sub-01/anat").glob("*_T1w.nii.gz")))
    assert made.shape == reference.shape
    np.testing.assert_allclose(made.affine, reference.affine, rtol=0, atol=1e-5)
    assert np.isfinite(made.get_fdata()).all()


def test_a_new_task_needs_only_a_file(place: Path) -> None:
    recipe = str(Path(__file__).parent.parent / "docs" / "flair.toml")
    options = [part for value in (*TINY, *FEWER) for part in ("--set", value)]
    assert run(place, "group", recipe, "--sloppy", *options) == 0
    assert (place / "out/models/flair/metrics.tsv").is_file()


def test_all_of_it_satisfies_the_validator(place: Path) -> None:
    fill(place, "impute")
    validator = Path(sys.executable).with_name("bids-validator-deno")
    done = subprocess.run([validator, place / "out"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_a_pet_is_named_by_its_tracer_and_written_as_a_ratio(place: Path) -> None:
    path = fill(place, "pet")
    assert "_trc-PBR28_" in path.name
    sidecar = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    assert sidecar["Units"] == "SUVR"
