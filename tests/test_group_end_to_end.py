"""What `group` offers beside one plain fit, through the command line on a tiny demo dataset."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from feature_files import vgg_file

from bids_synth.cli.main import run_command
from bids_synth.demo.dataset import make_demo
from bids_synth.errors import VisitError
from bids_synth.learn.fit.tune import journal_of
from bids_synth.learn.model.model import load_model
from bids_synth.recipe.recipe import load_recipe

pytestmark = pytest.mark.slow
VALUES = {
    "grid.spacing": "6",
    "preparation.registration_spacing": "4",
    "network.width": "16",
    "fit.patch": "[48, 48, 48]",
    "fit.batch": "2",
    "fit.steps": "2",
    "fit.steps_per_epoch": "1",
    "fit.members": "1",
    "fit.test": "0.25",
    "fit.validation": "0.25",
    "evaluation.bootstrap": "100",
}


def command(place: Path, out: Path, *more: str, level: str = "group", **values: str) -> list[str]:
    """Arguments of a run on the demo, with `values` in place of those above."""
    chosen = VALUES | {key.replace("__", "."): value for key, value in values.items()}
    pairs = [part for key, value in chosen.items() for part in ("--set", f"{key}={value}")]
    job = [str(place / "bids"), str(out), level, "-w", str(out.with_name(f"{out.name}-work"))]
    masks = ["-d", f"truth={place / 'truth'}"]
    return [*job, *masks, *(pairs if level == "group" else []), *more]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo dataset of T1w and T2w; sub-02 lacks its T2w, the other visits are prepared."""
    folder = tmp_path_factory.mktemp("group")
    make_demo(folder / "bids", participants=5, resolution=4.0, modalities=("T1w", "T2w"), seed=3)
    shutil.move(folder / "bids/derivatives/truth", folder / "truth")
    limit = ("--modalities", "T1w", "T2w", "--preproc-only")
    assert run_command(command(folder, folder / "out", *limit)) == 0
    return folder


@pytest.fixture
def out(place: Path, tmp_path: Path) -> Path:
    """An output of its own in which everything is prepared."""
    return shutil.copytree(place / "out", tmp_path / "out")


def in_own_process(*runs: list[str]) -> None:
    """Run the commands side by side, each in its own process, and wait for all."""
    jobs = [subprocess.Popen([sys.executable, "-m", "bids_synth", *run]) for run in runs]
    assert [job.wait(timeout=600) for job in jobs] == [0] * len(jobs)


def group(place: Path, out: Path, *more: str, **values: str) -> list[str]:
    return command(place, out, "--modalities", "T1w", "T2w", *more, **values)


def test_folds_in_processes_of_their_own_are_one_model(place: Path, out: Path) -> None:
    """Fold by fold or all at once, the weights are the same, and synthesis uses all of them."""
    folds = ("--folds", "3")
    jobs = [group(place, out, *folds, "--fold", k, fit__members="2") for k in ("0", "1", "2")]
    in_own_process(*jobs)
    in_own_process(group(place, out, *folds, fit__members="2"))
    apart = load_model(out / "models/impute")
    assert [(w.fold, w.member) for w in apart.card.weights] == [
        (fold, member) for fold in range(3) for member in range(2)
    ]
    assert (out / "models/impute/summary.tsv").is_file()
    once = shutil.copytree(place / "out", out.with_name("once"))
    assert run_command(group(place, once, *folds, fit__members="2")) == 0
    whole = load_model(once / "models/impute")
    assert [w.sha256 for w in apart.card.weights] == [w.sha256 for w in whole.card.weights]
    assert len({w.sha256 for w in whole.card.weights}) == 6
    assert (out / "models/impute/split.tsv").read_text() == (
        once / "models/impute/split.tsv"
    ).read_text()
    assert run_command(command(place, out, "--participant-label", "02", level="participant")) == 0
    (path,) = out.glob("sub-02/anat/*_desc-synth_T2w.nii.gz")
    sidecar = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    assert sidecar["SynthesisModel"]["Members"] == 6
    assert sidecar["Uncertainty"]["Members"] == 6
    (spread,) = out.glob("sub-02/anat/*_desc-synthT2w_uncertainty.nii.gz")
    assert nib.load(spread).get_fdata().max() > 0


def tried(folder: Path) -> pd.DataFrame:
    """The trials of a search, without the one that a job began when there were enough."""
    trials = pd.read_csv(folder / "trials.tsv", sep="\t", na_values=["n/a"])
    return trials[trials["state"] != "fail"]


def test_a_search_is_shared_goes_on_and_ends_in_a_recipe_that_fits(
    place: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = {"fit__steps": "20", "fit__steps_per_epoch": "10", "fit__ema": "0.5"}
    asked, more = (group(place, out, "--tune", n, **longer) for n in ("3", "6"))
    in_own_process(asked, asked)
    folder = out / "models/impute-tune"
    assert len(tried(folder)) == 3
    journal = journal_of(load_recipe("impute"), out.with_name("out-work"))
    assert [p.name for p in journal.parent.iterdir()] == [journal.name]
    before = (folder / "trials.tsv").read_text()
    assert run_command(asked) == 0
    assert (folder / "trials.tsv").read_text() == before, "there are three already"
    assert run_command(more) == 0
    trials = tried(folder)
    assert len(trials) == 6
    assert not trials["fit.learning_rate"].duplicated().any()
    done = trials[trials["state"] == "complete"]
    assert len(done) >= 4
    drawn = {p.name for p in folder.glob("*.svg")}
    assert drawn == {"history.svg", "importance.svg", "contour.svg"}
    assert not (out / "models/impute").exists()
    best = done.loc[done["score"].idxmax()]
    recipe = folder / "impute-tuned.toml"
    tuned = load_recipe(recipe)
    assert tuned.fit.learning_rate == pytest.approx(best["fit.learning_rate"], rel=1e-6)
    assert tuned.network.width == best["network.width"]
    assert str(recipe) in capsys.readouterr().out
    run = [str(place / "bids"), str(out), "group", "-w", str(out.with_name("fit"))]
    run += ["--recipe", str(recipe), "-d", f"truth={place / 'truth'}"]
    assert run_command(run) == 0
    assert load_model(out / "models/impute-tuned").recipe.fit == tuned.fit


def test_fid_and_perceptual_distance_stand_in_the_tables(
    place: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = vgg_file(tmp_path / "weights.safetensors")
    assert run_command(group(place, out, evaluation__features_from=str(path))) == 0
    model = out / "models/impute"
    rows = pd.read_csv(model / "metrics.tsv", sep="\t")
    assert {"model", "mean", "linear", "copy"} <= {*rows["method"]}
    assert (rows["perceptual"] > 0).all()
    assert np.isfinite(rows["perceptual"]).all()
    summary = pd.read_csv(model / "summary.tsv", sep="\t", na_values=["n/a"])
    fid = summary[summary["metric"] == "fid"]
    assert {*zip(fid["target"], fid["method"], strict=True)} == {
        *zip(rows["target"], rows["method"], strict=True)
    }
    assert (fid["mean"] > 0).all()
    assert "perceptual" in {*summary["metric"]}
    assert "fid" in capsys.readouterr().out


def test_absent_features_are_told_before_anything_is_prepared(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object, **__: object) -> None:
        message = "nothing may be prepared"
        raise VisitError(message)

    monkeypatch.setattr("bids_synth.pipeline.group.prepare_all", refused)
    absent = tmp_path / "absent.safetensors"
    run = command(place, tmp_path / "new", evaluation__features_from=str(absent))
    assert run_command(run) == 2
    told = capsys.readouterr().err
    assert f"{absent}: no such file" in told
    assert "you supply" in told
    assert not list((tmp_path / "new").glob("sub-*"))


def fitted_files(model: Path) -> dict[str, bytes]:
    """All that a fit has made; not what is scored with it."""
    files = [model / "training.tsv", *model.glob("weights/*")]
    return {path.name: path.read_bytes() for path in files}


def test_a_fitted_model_is_scored_again_by_another_protocol_without_a_step(
    place: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = out / "models/impute"
    assert run_command(group(place, out)) == 0
    before = fitted_files(model)

    def never(*_: object, **__: object) -> None:
        pytest.fail("fitted again")

    monkeypatch.setattr("bids_synth.learn.fit.fit.fit_member", never)
    wanted = '["affine-free", "slices"]'
    assert run_command(group(place, out, evaluation__protocols=wanted)) == 0
    assert fitted_files(model) == before
    rows = pd.read_csv(model / "metrics.tsv", sep="\t")
    assert {*rows["protocol"]} == {"affine-free", "slices"}
    assert load_model(model).recipe.evaluation.protocols == ("affine-free", "slices")


def test_a_visit_that_fails_in_preparation_moves_nobody(
    place: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its voxels are cut off, which is only seen when the scan is read to its end."""
    assert run_command(group(place, out)) == 0
    split = pd.read_csv(out / "models/impute/split.tsv", sep="\t")
    trained = split.loc[split["fold-0"] == "training", "participant_id"]
    spoiled = shutil.copytree(place, tmp_path / "spoiled")
    (scan,) = spoiled.glob(f"bids/{trained.iloc[0]}/anat/*_T2w.nii.gz")
    scan.write_bytes(scan.read_bytes()[:-4000])
    again = shutil.copytree(place / "out", tmp_path / "again")
    code = run_command(group(spoiled, again))
    told = capsys.readouterr().err
    if len(trained) > 1:
        assert code == 1
        after = pd.read_csv(again / "models/impute/split.tsv", sep="\t")
        pd.testing.assert_frame_equal(after, split)
    else:
        assert code == 2
        assert f"training of fold 0: {trained.iloc[0]}" in told
