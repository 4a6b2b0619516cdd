"""A batch over DataLad datasets fetches what the plan names; its outputs can be published."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ready_dataset import fit_options, make_ready

from bids_synth.cli.main import run_command
from bids_synth.demo.dataset import make_demo

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent
BATCH = ROOT / "scripts" / "batch"
VALIDATOR = Path(sys.executable).with_name("bids-validator-deno")
ADDRESS = "https://example.org/ds000001"
COARSE = {"grid.spacing": "6.0", "preparation.registration_spacing": "4.0"}
TABLES = {"dataset_description.json", "participants.tsv", "participants.json"}


def call(*words: object, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    missing = [tool for tool in ("datalad", "git-annex") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not there: {', '.join(missing)}; scripts/batch/install_tools.sh has them")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("BIDS_SYNTH", f"{sys.executable} -m bids_synth")
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "test")
            patch.setenv(f"GIT_{role}_EMAIL", "test@localhost")
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of T1w and T2w that has seen four steps."""
    folder = tmp_path_factory.mktemp("fit")
    dataset, output = make_ready(folder, COARSE)
    options = fit_options(steps=4, steps_per_epoch=2)
    for key, value in COARSE.items():
        options += ["--set", f"{key}={value}"]
    work = ["--work-dir", str(folder / "work")]
    assert run_command([str(dataset), str(output), "group", *work, *options]) == 0
    return output / "models" / "impute"


@pytest.fixture(scope="module")
def source(environment: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three participants, all in the annex; what the third and PDw need is not to be had."""
    dataset = tmp_path_factory.mktemp("source") / "ds000001"
    make_demo(dataset, participants=3, resolution=4.0, seed=3)
    for path in dataset.glob("sub-0[12]/**/*_T2w.*"):
        path.unlink()
    call("datalad", "create", "--force", dataset)
    call("datalad", "-C", dataset, "save", "-m", "demo")
    lost = [*dataset.glob("sub-03/**/*.nii.gz"), *dataset.glob("sub-*/**/*_PDw.nii.gz")]
    assert lost
    call("git", "annex", "drop", "--force", *dict.fromkeys(lost), cwd=dataset)
    return dataset


@dataclass
class Batch:
    outputs: Path
    code: int
    said: str

    def results(self, action: str) -> set[str]:
        """The files on which DataLad did something."""
        return set(re.findall(rf"^{action}\(ok\): (\S+) \(file\)", self.said, re.MULTILINE))


def run_batch(source: Path, model: Path, folder: Path) -> Batch:
    listed = folder / "list.tsv"
    listed.write_text(f"{folder}/nowhere\t{ADDRESS}\n{source}\t{ADDRESS}\n")
    words = [BATCH / "datasets.sh", listed, folder / "outputs", model, "--device", "cpu"]
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    done = subprocess.run(
        [str(word) for word in words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=os.environ | {"SCRATCH": str(scratch), "AT_ONCE": "1"},
    )
    return Batch(folder / "outputs", done.returncode, done.stdout)


@pytest.fixture(scope="module")
def batch(source: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """A batch over a place where there is nothing, and the dataset."""
    return run_batch(source, model, tmp_path_factory.mktemp("batch"))


def needed(source: Path) -> set[str]:
    """T1w images of the two who lack T2w, with their sidecars."""
    paths = source.glob("sub-0[12]/**/*_T1w.*")
    return {path.relative_to(source).as_posix() for path in paths}


def test_a_dataset_that_is_not_there_does_not_stop_the_others(batch: Batch) -> None:
    lines = (batch.outputs / "batch.tsv").read_text().splitlines()
    codes = [line.split("\t")[2] for line in lines]
    assert codes == ["1", "0"], batch.said[-3000:]
    assert batch.code == 1


def test_only_what_the_plan_names_was_fetched_and_dropped_again(
    batch: Batch, source: Path
) -> None:
    plan = json.loads((batch.outputs / "ds000001.log" / "plan.json").read_text())
    assert plan["participants"] == ["01", "02"]
    assert set(plan["fetch"]) == needed(source)
    assert batch.results("get") == needed(source) | TABLES
    assert batch.results("drop") == needed(source)
    assert not list((batch.outputs.parent / "scratch").iterdir())


def test_what_was_missing_was_made_and_is_valid(batch: Batch) -> None:
    output = batch.outputs / "ds000001"
    images = output.glob("sub-*/**/*_desc-synth_T2w.nii.gz")
    made = {path.relative_to(output).parts[0] for path in images}
    assert made == {"sub-01", "sub-02"}
    call(VALIDATOR, output)


def test_the_output_can_be_published(batch: Batch, source: Path, model: Path) -> None:
    output = batch.outputs / "ds000001"
    assert (output / "README.md").stat().st_size > 0
    description = json.loads((output / "dataset_description.json").read_text())
    commit = call("git", "rev-parse", "HEAD", cwd=source).strip()
    assert description["DatasetLinks"] == {"raw": ADDRESS}
    assert description["SourceDatasets"][0] == {"URL": ADDRESS, "Version": commit}
    files = [path for path in output.rglob("*") if not path.is_dir()]
    assert not [path for path in files if path.is_symlink()]
    places = (batch.outputs.parent, source.parent, model.parent.parent, ROOT, sys.prefix)
    for path in files:
        content = path.read_bytes()
        assert not [place for place in places if os.fsencode(place) in content], path
        assert b"file://" not in content, path
    assert {path.stem for path in (output / "logs").iterdir()} == {"CITATION"}
    assert list((batch.outputs / "ds000001.log").glob("*/bids_synth.toml"))


def test_a_second_batch_fetches_nothing_for_those_who_are_done(
    batch: Batch, source: Path, model: Path
) -> None:
    output = batch.outputs / "ds000001"
    before = {path: path.stat().st_mtime_ns for path in output.glob("sub-*/**/*.nii.gz")}
    again = run_batch(source, model, batch.outputs.parent)
    assert (again.code, again.results("get")) == (1, TABLES)
    assert {path: path.stat().st_mtime_ns for path in before} == before
