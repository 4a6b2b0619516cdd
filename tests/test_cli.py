"""The command line: one clear line for every user error, nothing heavy loaded for the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bids_synth import __version__
from bids_synth.cli.main import run_command
from bids_synth.cli.parser import build_parser
from bids_synth.cli.resolve import parse_memory, resolve
from bids_synth.errors import UsageError
from bids_synth.recipe.recipe import load_recipe, recipe_names

HEAVY = ("torch", "monai", "lightning", "ants", "nipype", "bids", "matplotlib", "pandas", "scipy")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "bids"
    folder.mkdir()
    description = {"Name": "empty", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    return folder


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_quick_answers_load_nothing_heavy(option: str) -> None:
    code = (
        "import sys, bids_synth; from bids_synth.cli.main import run_command; "
        f"code = run_command(['{option}']); "
        f"print([m for m in {HEAVY} if m in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[] 0")


def test_version_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"bids_synth v{__version__}\n"


def test_list_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--list-recipes"]) == 0
    assert "impute: any missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere", "out", "group"], "nowhere: is not a folder"),
        (["{bids}", "{bids}", "group"], "is the dataset; use"),
        (["{bids}", "out", "group", "-w", "{bids}/work"], "lies inside the dataset"),
        (["{bids}", "out", "group", "--mem", "16"], "expected a number with a unit"),
        (["{bids}", "out", "group", "--set", "fit.steps"], "expected KEY=VALUE"),
        (["{bids}", "out", "group", "--set", "fit.stepz=1"], "fit.stepz: unknown key"),
        (["{bids}", "out", "group", "--recipe", "none"], "no such recipe; known: "),
        (["{bids}", "out", "group", "--fold", "3"], "--fold 3: expected 0 to 0"),
        (["{bids}", "out", "group", "--model", "x"], "is for participant"),
        (["{bids}", "out", "group", "--device", "gpu"], "expected auto, cpu, cuda"),
        (["{bids}", "out", "group", "--nprocs", "0"], "must be at least 1"),
        (["{bids}", "out", "group", "--bids-filter-file", "no.json"], "no such file"),
        (["{bids}", "out", "group", "-m", "T1w", "T9w"], "not in recipe impute"),
        (["{bids}", "out", "group"], "no visit has any of"),
        (["{bids}", "out", "participant", "--recipe", "ct"], "run the group level first"),
        (["{bids}", "out", "participant", "--model", "gone"], "gone"),
        (["{bids}", "out", "group", "--participant-label", "99"], "99"),
        (["{bids}", "out", "nothing"], "expected participant or group"),
    ],
)
def test_a_user_error_is_one_clear_message_and_code_2(
    arguments: list[str],
    told: str,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command([a.replace("{bids}", str(dataset)) for a in arguments]) == 2
    shown = capsys.readouterr().err
    assert told in shown
    assert "Traceback" not in shown


def test_all_faults_are_told_at_once(dataset: Path) -> None:
    line = [str(dataset), str(dataset), "group", "--mem", "lots", "--nprocs", "0"]
    with pytest.raises(UsageError) as caught:
        resolve(build_parser().parse_args(line))
    assert str(caught.value).count("\n  - ") == 3


def test_both_spellings_and_prefixes(dataset: Path) -> None:
    for label in ("01", "02"):
        (dataset / f"sub-{label}").mkdir()
    parse = build_parser().parse_args
    one = resolve(parse([str(dataset), "o", "group", "--participant-label", "sub-01", "02"]))
    other = resolve(parse([str(dataset), "o", "group", "--participant_label", "01", "sub-02"]))
    assert one.participants == other.participants == ("01", "02")


@pytest.mark.parametrize(
    ("text", "gigabytes"),
    [("16G", 16), ("16GB", 16), ("500M", 0.5), ("2.5 GiB", 2.5), ("1T", 1e3)],
)
def test_memory_with_a_unit(text: str, gigabytes: float) -> None:
    assert parse_memory(text) == pytest.approx(gigabytes)


@pytest.mark.parametrize("text", ["16", "", "G", "-3G", "1.5.2G", "16X"])
def test_memory_without_a_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 16G"):
        parse_memory(text)


def test_a_fault_of_ours_is_code_70_with_the_traceback_in_the_log(
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fault(*_: object) -> None:
        message = "planted"
        raise ZeroDivisionError(message)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bids_synth.cli.main._start", fault)
    assert run_command([str(dataset), "out", "group"]) == 70
    shown = capsys.readouterr().err
    assert "internal fault" in shown
    assert "Traceback" not in shown
    logs = list((tmp_path / "out" / "logs").glob("*.log"))
    assert "ZeroDivisionError: planted" in logs[0].read_text()


def test_list_recipes_tells_task_inputs_targets_dimension_and_source(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["--list-recipes"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if not line.startswith(" ")] == [
        f"{name}: {load_recipe(name).task}" for name in recipe_names()
    ]
    assert len(recipe_names()) == 10
    for told in ("2D, any-missing-gan, unet-2d", "sources: T1w", "targets: ct", "arXiv:1703"):
        assert told in shown
