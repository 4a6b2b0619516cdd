"""Extras: what needs no fit runs without the packages of one; a fit says what it lacks."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from ready_dataset import MODALITIES, make_ready

from bids_synth.system.extras import EXTRAS

ROOT = Path(__file__).resolve().parent.parent
WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from bids_synth.__main__ import main
sys.exit(main())
"""


def run_without(*words: object, extra: str = "fit") -> subprocess.CompletedProcess[str]:
    """The program where no package of the extra can be imported."""
    code = WITHOUT.format(absent=tuple(EXTRAS[extra]))
    line = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra, packages in EXTRAS.items():
        lines = project["optional-dependencies"][extra]
        assert [Requirement(line).name for line in lines] == list(packages)
    assert not {Requirement(line).name for line in project["dependencies"]} & {
        package for packages in EXTRAS.values() for package in packages
    }


@pytest.mark.parametrize("option", ["--version", "--help", "--list-recipes", "--list-models"])
def test_quick_answers_need_no_extra(option: str) -> None:
    done = run_without(option)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_group_says_in_one_line_what_to_install(tmp_path: Path) -> None:
    dataset = tmp_path / "bids"
    dataset.mkdir()
    about = {"Name": "empty", "BIDSVersion": "1.10.0"}
    (dataset / "dataset_description.json").write_text(json.dumps(about))
    done = run_without(dataset, tmp_path / "out", "group", "-w", tmp_path / "work")
    assert done.returncode == 2
    assert done.stderr == (
        "bids_synth: group needs lightning, optuna, tensorboard, not installed here; "
        "run pip install 'bids_synth[fit]'\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_participant_needs_no_extra(tmp_path: Path) -> None:
    dataset, output = make_ready(tmp_path)
    target = dataset / "sub-a" / "anat" / "sub-a_T2w.nii.gz"
    target.unlink()
    job = (dataset, output, "participant", "--participant-label", "a", "-w", tmp_path / "work")
    done = run_without(*job, "-m", *MODALITIES, "--skull-strip", "skip")
    assert done.returncode == 0, done.stderr
    image = output / "sub-a" / "anat" / "sub-a_space-T1w_desc-synth_T2w.nii.gz"
    assert image.is_file()
    about = json.loads(image.with_name("sub-a_space-T1w_desc-synth_T2w.json").read_text())
    assert about["Synthetic"]
