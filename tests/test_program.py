"""The program: its exit codes, its words under any locale, and readers who leave early."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bids_fixtures import make_dataset

from bids_synth.cli.main import run_command

ROOT = Path(__file__).resolve().parent.parent


def program(
    *words: str | Path, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "bids_synth", *map(str, words)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        check=False,
    )


def broken(root: Path) -> Path:
    dataset = make_dataset(root, *(f"sub-{p}/anat/sub-{p}_T1w.nii.gz" for p in ("01", "02")))
    (dataset / "sub-02/anat/sub-02_T1w.nii.gz").write_text("no image")
    return dataset


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_dry_run_ends_as_the_run_would(
    more: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = broken(tmp_path / "raw")
    job = [str(dataset), str(tmp_path / "out"), "participant", "--dry-run", *more]
    job += ["-w", str(tmp_path / "work")]
    assert run_command(job) == 1
    assert "sub-02" in capfd.readouterr().out
    assert run_command([*job, "--participant-label", "01"]) == 0
    (dataset / "sub-02/anat/sub-02_T1w.nii.gz").unlink()
    (dataset / "sub-02/anat/sub-02_T1w.nii.gz").symlink_to("../.git/annex/objects/x")
    # What can be fetched is no failure of a plan that is asked what to fetch.
    assert run_command(job) == (0 if more else 1)


LOCALES = (
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {
        "LC_ALL": "POSIX",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "ascii",
    },
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
)


@pytest.mark.parametrize("locale", LOCALES)
def test_an_umlaut_is_no_fault_under_any_locale(locale: dict[str, str], tmp_path: Path) -> None:
    dataset = broken(tmp_path / "Köpfe 脳")
    job = (dataset, tmp_path / "äus", "participant", "--dry-run", "-w", tmp_path / "wörk")
    done = program(*job, cwd=tmp_path, **locale)
    assert done.returncode == 1, done.stderr
    assert b"1 visit failed" in done.stdout
    assert b"pfe" in done.stdout
    assert b"Traceback" not in done.stderr
    as_json = program(*job, "--json", cwd=tmp_path, **locale)
    plan = json.loads(as_json.stdout)
    assert str(dataset) in plan["visits"][1]["reason"]


def test_what_is_written_is_in_utf8_under_any_locale(tmp_path: Path) -> None:
    job = (broken(tmp_path / "Köpfe"), tmp_path / "out", "participant", "--boilerplate-only")
    done = program(*job, "-w", tmp_path / "w", cwd=tmp_path, **LOCALES[0])
    assert done.returncode == 0, done.stderr
    (run_file,) = (tmp_path / "out/logs").rglob("*.toml")
    assert str(tmp_path / "Köpfe") in run_file.read_text(encoding="utf-8")


def test_a_reader_who_has_enough_is_no_fault(tmp_path: Path) -> None:
    command = f"{sys.executable} -m bids_synth --list-recipes | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert int(done.stdout) in (0, 141)


@pytest.mark.parametrize("given", [["T2w"], ["FLAIR"], ["T2w", "T2w"]])
def test_one_modality_alone_is_refused_in_a_sentence(
    given: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = [broken(tmp_path / "raw"), tmp_path / "out", "participant", "--dry-run", "-m", *given]
    assert run_command([*map(str, job), "-w", str(tmp_path / "work")]) == 2
    said = capfd.readouterr().err
    assert f"--modalities {' '.join(given)}: leaves recipe any-contrast nothing to make" in said
    assert "T1w, T2w, PDw, FLAIR" in said
    assert "{" not in said
