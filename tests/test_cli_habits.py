"""What hands have learned from other BIDS Apps works, or is refused with what to use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bids_fixtures import make_dataset
from hypothesis import given
from hypothesis import strategies as st

from bids_synth.cli.habits import INSTEAD
from bids_synth.cli.main import run_command
from bids_synth.cli.parser import build_parser
from bids_synth.cli.resolve import parse_memory, resolve

TABLE = Path(__file__).resolve().parents[2] / "shared/reference/bids_apps.md"
OURS = {s for action in build_parser()._actions for s in action.option_strings}
PLACES = ["bids", "out", "participant"]


def asked(*words: str):
    return build_parser().parse_args([*PLACES, *words])


@pytest.mark.parametrize(
    ("spellings", "value"),
    [
        (("--nprocs", "--nthreads", "--n_cpus", "--n-cpus", "--n_procs"), "3"),
        (("--omp-nthreads", "--ants-nthreads"), "2"),
        (("--participant-label", "--participant_label"), "01"),
        (("--session-label", "--session_label", "--session-id"), "a"),
        (("--skip-bids-validation", "--skip_bids_validation", "--skip_bids_validator"), None),
        (("--boilerplate-only", "--boilerplate_only"), None),
        (("--use-plugin", "--nipype-plugin-file"), "p.yml"),
        (("--mem-mb", "--mem_mb"), "16000"),
        (("-w", "--work-dir"), "w"),
        (("-d", "--derivatives"), "a=b"),
    ],
)
def test_spellings_mean_the_same(spellings: tuple[str, ...], value: str | None) -> None:
    silent = vars(asked())
    parsed = [vars(asked(s, *([value] if value else []))) for s in spellings]
    assert all(one == parsed[0] for one in parsed)
    assert parsed[0] != silent


@given(st.integers(1, 4_000_000))
def test_megabytes_are_megabytes_however_they_are_written(size: int) -> None:
    written = (("--mem-mb", f"{size}"), ("--mem_mb", f"{size}"), ("--mem", f"{size}M"))
    lines = [asked(*words).mem for words in (*written, ("--mem-mb", f"{size} MB"))]
    assert [parse_memory(text) for text in lines] == [pytest.approx(size / 1000)] * 4


def test_a_bare_number_without_its_unit_is_refused_with_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bids").mkdir()
    for words in (("--mem", "16000"), ("--mem", "0G"), ("--mem-mb", "0")):
        assert run_command([*PLACES, *words]) == 2
        told = capsys.readouterr().err
        assert "16G" in told
        assert "--mem-mb 16000" in told
    assert resolve(asked("--mem-mb", "16000")).memory_gb == pytest.approx(16.0)


@pytest.mark.parametrize("option", INSTEAD)
@pytest.mark.parametrize("before", [True, False])
def test_anothers_option_is_refused_with_what_to_use(
    option: str, before: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [option, "x", *PLACES] if before else [*PLACES, option, "x"]
    assert run_command(words) == 2
    assert f"{option}: {INSTEAD[option]}" in capsys.readouterr().err
    assert option not in OURS


def test_an_option_of_nobody_is_refused_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(make_dataset(tmp_path / "bids", "sub-01/anat/sub-01_T1w.nii.gz").parent)
    assert run_command([*PLACES, "--colour", "blue"]) == 2
    assert capsys.readouterr().err.endswith("unrecognized arguments: --colour blue\n")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("--recipee", "impute"), "--recipe?"),
        (("--particpant-label", "01"), "--participant-label?"),
        (("--skull-strip", "templat"), "template?"),
    ],
)
def test_a_slip_is_asked_about_in_one_line(
    words: tuple[str, str],
    meant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(make_dataset(tmp_path / "bids", "sub-01/anat/sub-01_T1w.nii.gz").parent)
    assert run_command([*PLACES, *words]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1, "no list of all options"
    assert told.endswith(f"did you mean {meant}\n")


def test_without_words_the_use_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([]) == 2
    assert "bids_dir output_dir {participant,group}" in capsys.readouterr().err


def test_every_option_of_fmriprep_has_an_answer() -> None:
    if not TABLE.is_file():
        pytest.skip("the table of other Apps' options is not beside this checkout")
    rows = TABLE.read_text(encoding="utf-8").partition("### a.2")[2].partition("### a.3")[0]
    cells = [line.split("|")[1] for line in rows.splitlines() if line.startswith("| `")]
    spelled = {
        w for cell in cells for w in re.findall(r"(?<![\w/])--[a-z][a-z0-9_-]+(?![\w/-])", cell)
    }
    assert len(spelled) > 50
    whole = {w for w in spelled if not w.endswith("-")}
    assert whole - OURS - set(INSTEAD) == set(), "neither understood nor answered"


@pytest.mark.parametrize(
    "words", [("--folds", "2"), ("--fold", "0"), ("--no-resume",), ("--init-from", "x")]
)
def test_what_is_for_the_group_is_refused_where_it_would_do_nothing(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bids").mkdir()
    assert run_command([*PLACES, *words]) == 2
    assert f"{words[0]}: is for group, not participant" in capsys.readouterr().err


def test_what_changes_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bids").mkdir()
    words = ["bids", "out", "group", "--boilerplate-only", "--nprocs", "2"]
    run_command([*words, "--notrack", "--omp-nthreads", "8", "--output-spaces", "T1w"])
    told = capsys.readouterr().err
    for option in ("--notrack", "--omp-nthreads 8", "--output-spaces"):
        assert f"note: {option}: " in told
    run_command(words)
    assert "note:" not in capsys.readouterr().err
