"""The main job as a user runs it: demo dataset, group, participant, validator, second runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from bids import BIDSLayout

from bids_synth.cli.main import run_command
from bids_synth.core.visit import Visit
from bids_synth.demo.dataset import make_demo
from bids_synth.prepare.workflow.workflow import prepare_visits

pytestmark = pytest.mark.slow
VALIDATOR = Path(sys.executable).with_name("bids-validator-deno")
QUICK = ["--sloppy", "--set", "fit.test=0.2", "--set", "fit.steps=10"]


def validate(folder: Path) -> None:
    """Fail with the validator's own words unless it finds no error."""
    done = subprocess.run([VALIDATOR, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def run(*arguments: object) -> int:
    return run_command([str(a) for a in arguments])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo dataset on which group and participant have run."""
    folder = tmp_path_factory.mktemp("job")
    make_demo(folder / "bids", participants=6, resolution=4.0, seed=3)
    job = (folder / "bids", folder / "out")
    assert run(*job, "group", "-w", folder / "work", *QUICK) == 0
    assert run(*job, "participant", "-w", folder / "work") == 0
    return folder


def synthetic_images(output: Path) -> list[Path]:
    return sorted(output.glob("sub-*/**/*_desc-synth_*.nii.gz"))


def real_name(path: Path) -> str:
    """Name that the raw scan of a synthetic image would have."""
    return path.name.replace("_space-T1w_desc-synth", "")


def test_exactly_the_missing_images_are_made(place: Path) -> None:
    raw = place / "bids"
    made = {real_name(path) for path in synthetic_images(place / "out")}
    lacking = set()
    for anat in raw.glob("sub-*/**/anat"):
        label = "_".join(p for p in anat.relative_to(raw).parts if p != "anat")
        names = {path.name for path in anat.glob("*.nii.gz")}
        lacking |= {f"{label}_{m}.nii.gz" for m in ("T1w", "T2w", "PDw")} - names
    assert made == lacking != set()


def test_synthetic_images_lie_on_the_references_grid_with_content(place: Path) -> None:
    for path in synthetic_images(place / "out"):
        reference = path.name.split("_space-")[1].split("_")[0]
        name = real_name(path).rsplit("_", 1)[0] + f"_{reference}.nii.gz"
        real = nib.load(next((place / "bids").glob(f"sub-*/**/{name}")))
        made = nib.load(path)
        assert made.shape == real.shape
        np.testing.assert_allclose(made.affine, real.affine, rtol=0, atol=1e-5)
        values = made.get_fdata()
        assert np.isfinite(values).all()
        assert values.std() > 0


def test_both_datasets_satisfy_the_validator(place: Path) -> None:
    validate(place / "bids")
    validate(place / "out")


def test_sidecars_say_what_was_made_by_what(place: Path) -> None:
    card = json.loads((place / "out/models/impute/model.json").read_text())
    for path in synthetic_images(place / "out"):
        sidecar = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
        assert sidecar["Synthetic"] is True
        assert sidecar["SkullStripped"] is True
        assert sidecar["Units"] == "arbitrary"
        assert sidecar["SynthesisModel"]["Name"] == card["name"]
        assert sidecar["QualityVerdict"]["Level"] in ("pass", "review", "fail")
        assert sidecar["Uncertainty"]["MeanInMask"] > 0
        assert all(uri.startswith("bids:") for uri in sidecar["Sources"])
        assert not {"EchoTime", "RepetitionTime", "FlipAngle"} & sidecar.keys()


def test_pybids_finds_synthetic_images_in_the_output_and_none_in_the_raw_dataset(
    place: Path,
) -> None:
    raw = BIDSLayout(place / "bids", validate=False, derivatives=place / "out")
    found = raw.get(scope="derivatives", desc="synth", extension=".nii.gz")
    assert {Path(f.path) for f in found} == set(synthetic_images(place / "out"))
    for suffix in ("T1w", "T2w", "PDw"):
        assert not [f for f in raw.get(scope="raw", suffix=suffix) if "synth" in f.filename]


def test_model_folder_holds_everything_without_pickle(place: Path) -> None:
    model = place / "out/models/impute"
    for name in ("model.json", "recipe.toml", "split.tsv", "training.tsv", "metrics.tsv"):
        assert (model / name).stat().st_size > 0
    assert list(model.glob("weights/*.safetensors"))
    assert not [p for p in model.rglob("*") if p.suffix in (".pt", ".pth", ".ckpt", ".pkl")]


def test_reports_are_written(place: Path) -> None:
    assert "model" in (place / "out/group.html").read_text()
    made = {path.relative_to(place / "out").parts[0] for path in synthetic_images(place / "out")}
    assert {page.stem for page in (place / "out").glob("sub-*.html")} == made


def test_a_second_run_makes_nothing_anew(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        message = "nothing may be prepared or fitted again"
        raise AssertionError(message)

    def only_withheld(visits: Sequence[Visit], *more: Any, **options: Any) -> Any:
        """What a score withholds is prepared without it, in the work directory, which is new."""
        return (prepare_visits if all(v.withheld for v in visits) else refused)(
            visits, *more, **options
        )

    monkeypatch.setattr("bids_synth.prepare.workflow.workflow.prepare_visits", only_withheld)
    monkeypatch.setattr("bids_synth.learn.fit.fit.fit_member", refused)
    before = {p: p.stat().st_mtime_ns for p in synthetic_images(place / "out")}
    weights = {p: p.stat().st_mtime_ns for p in (place / "out").glob("models/*/weights/*")}
    job = (place / "bids", place / "out")
    assert run(*job, "group", "-w", place / "elsewhere", *QUICK) == 0
    assert run(*job, "participant", "-w", place / "elsewhere") == 0
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert {p: p.stat().st_mtime_ns for p in weights} == weights
    assert "up to date" in capsys.readouterr().out


def test_one_bad_visit_fails_alone_and_is_named(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bids = shutil.copytree(place / "bids", tmp_path / "bids")
    shutil.rmtree(bids / "derivatives")
    scan = next(bids.glob("sub-02/**/*_T1w.nii.gz"))
    scan.write_bytes(scan.read_bytes()[:5000])
    model = place / "out/models/impute"
    code = run(bids, tmp_path / "out", "participant", "--model", model, "-w", tmp_path / "work")
    shown = capsys.readouterr().out
    assert code == 1
    assert "1 visit failed" in shown
    assert "sub-02" in shown.splitlines()[-1]
    assert scan.name in shown.splitlines()[-1]
    others = {p.relative_to(tmp_path / "out").parts[0] for p in synthetic_images(tmp_path / "out")}
    assert others
    assert "sub-02" not in others


def test_evaluate_scores_strangers_and_refuses_the_models_own_participants(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = (place / "out/models/impute/split.tsv").read_text().splitlines()[1:]
    parts = dict(line.split("\t") for line in split)
    tested = next(p for p, part in parts.items() if part == "test")
    fitted = next(p for p, part in parts.items() if part == "training")
    model = place / "out/models/impute"
    code = run(
        *(place / "bids", tmp_path / "out", "participant", "--model", model, "--evaluate"),
        *("-w", tmp_path / "work", "--participant-label", tested, fitted),
    )
    assert code == 0
    assert "masked3d" in capsys.readouterr().out
    rows = next((tmp_path / "out/logs").glob("scores-*.tsv")).read_text()
    assert tested in rows
    assert fitted not in rows
    assert "fitted on it" in next((tmp_path / "out/logs").glob("*.log")).read_text()


def test_dry_run_plans_and_writes_nothing(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(place / "bids", tmp_path / "none", "participant", "--dry-run", "-w", tmp_path / "w")
    assert code == 0
    assert "sub-02" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "w").exists()
