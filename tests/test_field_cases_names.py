"""Field cases of names, folders and headers: what is there is neither invented nor refused.

The inputs lie in `shared/cases` beside the checkout, each with a README that says what is right.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults_house import in_child

from bids_synth.cli.main import run_command

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
STRANGER = 65_534


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A copy of the case that the test names, where another user may come, too."""
    source = CASES / request.param
    if not source.is_dir():
        pytest.skip(f"no field case beside this checkout: {source}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(shutil.copytree(source, Path(folder) / "case"))
        for path in (Path(folder), place, *place.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield place
        for path in place.rglob("*"):
            if path.is_dir():
                path.chmod(0o755)


def of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [name], indirect=True)


def planned(
    capfd: pytest.CaptureFixture[str], bids: Path, *options: str | Path
) -> tuple[int, dict[str, Any], str]:
    """Exit code, rows of the plan by visit, and what was said of the dataset beside it."""
    folder = bids.parent
    job = [bids, folder / "out", "participant", "--dry-run", "--json", "-w", folder / "work"]
    capfd.readouterr()
    code = run_command([str(word) for word in (*job, *options)])
    said = capfd.readouterr()
    assert not (folder / "out").exists()
    rows = {row["visit"]: row for row in json.loads(said.out)["visits"]}
    of_dataset = [line for line in said.err.splitlines() if "comes with bids_synth" not in line]
    return code, rows, "\n".join(of_dataset)


def line_of(text: str, *words: str) -> str:
    (line,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return line


@of("name-hyphen-in-label")
def test_a_hyphen_in_a_label_makes_no_t1w_missing(
    case: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, rows, said = planned(capfd, case / "bids")
    assert code == 0
    assert rows["sub-01"]["targets"] == rows["sub-01"]["lacking"] == ["T2w", "FLAIR"]
    told = line_of(said, "sub-01/anat/sub-01_acq-mp-rage_T1w.nii.gz")
    assert "'acq-mp-rage' has a hyphen inside its label" in told
    assert "call it sub-01/anat/sub-01_acq-mprage_T1w.nii.gz" in told
    anat = case / "bids/sub-01/anat"
    (anat / "sub-01_acq-mp-rage_T1w.nii.gz").rename(anat / "sub-01_acq-mprage_T1w.nii.gz")
    _, rows, said = planned(capfd, case / "bids")
    assert rows["sub-01"]["present"] == ["T1w", "PDw"]
    assert said == ""


@of("name-lowercase-suffix")
def test_a_suffix_in_lower_case_or_with_a_word_behind_it(
    case: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, rows, said = planned(capfd, case / "bids")
    assert code == 0
    for label, name in (("sub-01", "sub-01_t1w.nii.gz"), ("sub-02", "sub-02_T1w_defaced.nii.gz")):
        assert "T1w" not in rows[label]["targets"]
        assert name in rows[label]["doubtful"]["T1w"]
        assert name in rows[label]["reason"]
        assert "until then no T1w is synthesised" in line_of(said, f"{label}: ", name)


@of("filter-matches-nothing")
def test_what_a_filter_leaves_out_is_there(case: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ("--bids-filter-file", case / "filter.json")
    code, rows, said = planned(capfd, case / "bids", *options)
    assert code == 0
    assert "T1w" not in rows["sub-01"]["targets"]
    told = line_of(said, "sub-01: ")
    assert "sub-01_T1w.nii.gz is its T1w" in told
    assert "filter.json leaves it out" in told
    assert rows["sub-02"]["present"] == ["T1w"]


@of("folder-above-pet")
def test_the_plan_does_not_depend_on_a_folder_above_named_as_a_datatype(
    case: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("--bids-filter-file", case / "filter.json")
    code, rows, _ = planned(capfd, case / "pet/bids", *options)
    (case / "pet").rename(case / "study")
    assert (code, rows) == planned(capfd, case / "study/bids", *options)[:2]
    assert code == 0
    assert rows["sub-01"]["present"] == ["T1w", "PDw"]
    assert rows["sub-02"]["present"] == ["T1w"]


@of("folder-above-ce")
def test_the_plan_does_not_depend_on_a_folder_above_that_looks_like_an_entity(
    case: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, rows, said = planned(capfd, case / "ms_ce-study/bids")
    assert (code, said) == (0, "")
    assert {label: row["present"] for label, row in rows.items()} == {
        "sub-01": ["T1w", "PDw"],
        "sub-02": ["T1w"],
    }


@of("participant-without-permission")
def test_a_folder_of_another_account_costs_its_participant(
    case: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    locked = case / "bids/sub-02"
    locked.chmod(0o000)

    def act() -> int:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            if not all(os.access(file, os.R_OK) for file in (__file__, pytest.__file__)):
                return 77
        job = [case / "bids", "/tmp/none", "participant", "--dry-run", "-w", "/tmp/no-work"]
        return run_command([str(word) for word in job])

    code = in_child(act)
    if code == 77:
        pytest.skip("another user cannot read this checkout or its packages")
    said = capfd.readouterr()
    assert code == 1
    assert "layout_config.json" not in said.out + said.err
    assert "1 visit failed:" in said.out
    told = line_of(said.out, "sub-02: ")
    assert f"{locked}: cannot be looked into, permission denied (it belongs to " in told
    for label in ("sub-01", "sub-03"):
        assert "T2w, PDw, FLAIR from T1w" in line_of(said.out, label)


@of("header-qfac-zero")
def test_a_qfac_of_0_is_used(case: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, rows, said = planned(capfd, case / "bids")
    assert (code, said) == (0, "")
    assert rows["sub-01"]["action"] == "synthesise"


@of("header-quaternion-rounding")
def test_a_quaternion_longer_than_1_by_rounding_is_used(
    case: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, rows, said = planned(capfd, case / "bids")
    assert (code, said) == (0, "")
    assert rows["sub-01"]["action"] == "synthesise"
