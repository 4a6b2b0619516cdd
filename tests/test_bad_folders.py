"""Bad folders: what cannot be looked at costs its visit, and the others go on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bids_fixtures import make_dataset
from faults_house import in_child

from bids_synth.bids.raw.query import Discovery, query
from bids_synth.cli.main import run_command
from bids_synth.recipe.recipe import load_recipe

IMPUTE = load_recipe("impute")
STRANGER = 65_534


@pytest.fixture
def dataset() -> Iterator[Path]:
    """Three participants with a T1w, the last of two sessions, where another user may come."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield make_dataset(
            Path(folder) / "raw",
            *(f"sub-{label}/anat/sub-{label}_T1w.nii.gz" for label in ("01", "02")),
            *(f"sub-03/ses-{s}/anat/sub-03_ses-{s}_T1w.nii.gz" for s in "AB"),
        )


def labels(discovery: Discovery) -> list[str]:
    return [visit.label for visit in discovery.visits]


def loop_to_parent(root: Path) -> Path:
    link = root / "sub-02/anat/again"
    link.symlink_to("..")
    return link


def loop_to_the_dataset(root: Path) -> Path:
    link = root / "sub-02/more"
    link.symlink_to(root / "sub-02", target_is_directory=True)
    return link


def link_to_itself(root: Path) -> Path:
    link = root / "sub-02/perf"
    link.symlink_to("perf")
    return link


def dead_link(root: Path) -> Path:
    link = root / "sub-02/pet"
    link.symlink_to("/nowhere/pet")
    return link


def file_for_a_folder(root: Path) -> Path:
    (root / "sub-02/anat/sub-02_T1w.nii.gz").unlink()
    (root / "sub-02/anat").rmdir()
    (root / "sub-02/anat").write_text("x")
    return root / "sub-02/anat"


def file_for_a_session(root: Path) -> Path:
    (root / "sub-02/ses-1").write_text("x")
    return root / "sub-02/ses-1"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (loop_to_parent, "is a link to a folder that holds it, a circle; remove it"),
        (loop_to_the_dataset, "is a link to a folder that holds it, a circle; remove it"),
        (link_to_itself, "is a link to a folder in a circle (perf)"),
        (dead_link, "is a link to a folder that is not there (/nowhere/pet)"),
        (file_for_a_folder, "is a file, expected a folder"),
    ],
)
def test_what_cannot_be_walked_is_one_failed_visit(
    fault: Callable[[Path], Path], words: str, dataset: Path
) -> None:
    place = fault(dataset)
    found = query(dataset, IMPUTE)
    assert labels(found) == ["sub-01", "sub-03_ses-A", "sub-03_ses-B"]
    (problem,) = found.problems
    assert problem.visit == "sub-02"
    assert problem.message.startswith(f"{place}: {words}")


def test_a_file_for_a_session_is_a_failed_visit_of_that_session(dataset: Path) -> None:
    place = file_for_a_session(dataset)
    (problem,) = query(dataset, IMPUTE).problems
    assert (
        str(problem) == f"sub-02_ses-1: {place}: is a file, expected a folder; remove or rename it"
    )


def test_a_file_for_a_participant(dataset: Path) -> None:
    (dataset / "sub-04").write_text("x")
    (dataset / "sub-05").symlink_to("sub-05")
    (dataset / "participants.tsv").write_text("participant_id\nsub-01\nsub-02\nsub-03\n")
    found = query(dataset, IMPUTE)
    assert len(found.visits) == 4
    assert [problem.visit for problem in found.problems] == ["sub-04", "sub-05"]
    assert "is a file, expected a folder" in found.problems[0].message
    assert "in a circle" in found.problems[1].message


def test_a_linked_folder_is_followed_where_it_ends(dataset: Path) -> None:
    elsewhere = dataset.parent / "elsewhere"
    (dataset / "sub-02/anat").rename(elsewhere)
    (dataset / "sub-02/anat").symlink_to(elsewhere)
    found = query(dataset, IMPUTE)
    assert "sub-02" in labels(found)
    assert found.problems == found.notes == ()


def test_an_image_that_links_in_a_circle_is_told_as_such(dataset: Path) -> None:
    link = dataset / "sub-02/anat/sub-02_T2w.nii.gz"
    link.symlink_to(link.name)
    (problem,) = query(dataset, IMPUTE).problems
    assert problem.visit == "sub-02"
    assert f"{link}: is a link in a circle" in problem.message


@pytest.mark.parametrize("empty", ["sub-09", "sub-02/pet", "sub-03/ses-C", "sub-02/Anat"])
def test_an_empty_folder_gets_a_line(empty: str, dataset: Path) -> None:
    (dataset / empty).mkdir()
    found = query(dataset, IMPUTE)
    assert len(found.visits) == 4
    assert found.problems == ()
    (note,) = found.notes
    assert note == f"{dataset / empty}: is an empty folder; fetch its content, or remove it"


def as_stranger(*arguments: str | Path) -> int:
    """The command as a user who owns nothing; skips where none may be played."""

    def act() -> int:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
        if not all(os.access(file, os.R_OK) for file in (__file__, pytest.__file__)):
            return 77
        return run_command([str(argument) for argument in arguments])

    code = in_child(act)
    if code == 77:
        pytest.skip("another user cannot read this checkout or its packages")
    return code


@pytest.mark.parametrize(
    ("place", "mode", "failed"),
    [
        ("sub-02", 0o000, "sub-02"),
        ("sub-02/anat", 0o000, "sub-02"),
        ("sub-02/anat", 0o444, "sub-02"),
        ("sub-02/anat", 0o311, "sub-02"),
        ("sub-02/anat/sub-02_T1w.nii.gz", 0o000, "sub-02"),
        ("sub-03/ses-A", 0o000, "sub-03_ses-A"),
        ("sub-02/func", 0o000, ""),
        ("participants.tsv", 0o000, ""),
        ("sub-02/anat/sub-02_T1w.json", 0o000, ""),
    ],
)
def test_what_may_not_be_read_costs_its_visit_alone(
    place: str, mode: int, failed: str, dataset: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = dataset / place
    if not path.exists():
        path.mkdir() if path.suffix == "" else path.write_text("participant_id\n")
    path.chmod(mode)
    job = [dataset, "/tmp/none", "participant", "--dry-run", "-w", "/tmp/no-work"]
    code = as_stranger(*job, "-m", "T1w", "T2w")
    path.chmod(0o755)
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    assert "layout_config" not in said.out + said.err
    assert code == (1 if failed else 0)
    assert f"{dataset / place}: " in said.out + said.err
    planned = {line.split()[0] for line in said.out.splitlines() if " synthesise " in line}
    everybody = {"sub-01", "sub-02", "sub-03_ses-A", "sub-03_ses-B"}
    assert planned & everybody == everybody - {failed}
    if failed:
        (line,) = [text for text in said.out.splitlines() if text.startswith(f"  {failed}: ")]
        assert "permission denied (" in line
        assert "belongs to" in line
        assert "give a folder of your own" not in line


def test_a_participant_asked_for_by_session_who_may_not_be_read(
    dataset: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (dataset / "sub-02").chmod(0o000)
    job = [dataset, "/tmp/none", "participant", "--dry-run", "-w", "/tmp/no-work"]
    code = as_stranger(*job, "--session-label", "A")
    (dataset / "sub-02").chmod(0o755)
    said = capfd.readouterr().out
    assert code == 1
    assert "sub-03_ses-A  T1w" in said
    assert "  sub-02: " in said
