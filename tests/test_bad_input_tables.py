"""Bad tables, sidecars and names: told once, never a reason to take one brain for another."""

from __future__ import annotations

from pathlib import Path

import pytest
from bids_fixtures import make_dataset

from bids_synth.bids.raw.query import Discovery, query
from bids_synth.core.visit import Scan, Visit
from bids_synth.pipeline.admission import MOST, admitted
from bids_synth.recipe.recipe import load_recipe

PEOPLE = ("01", "02", "03")
RECIPE = load_recipe("impute")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three participants with T1w and T2w, in a folder whose name has a space and an umlaut."""
    paths = [f"sub-{p}/anat/sub-{p}_{m}.nii.gz" for p in PEOPLE for m in ("T1w", "T2w")]
    return make_dataset(tmp_path / "Köpfe und 脳" / "100% bids", *paths)


def found(dataset: Path, *participants: str) -> Discovery:
    return admitted(query(dataset, RECIPE, participants=participants), planning=False)


def labels(discovery: Discovery) -> list[str]:
    return [visit.label for visit in discovery.visits]


def test_a_good_dataset_has_nothing_to_tell(dataset: Path) -> None:
    discovery = found(dataset)
    assert labels(discovery) == ["sub-01", "sub-02", "sub-03"]
    assert discovery.problems == discovery.notes == ()


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe\x00", b"[1]", b'{"a": NaN,}'])
def test_a_broken_sidecar_is_told_and_changes_nothing(dataset: Path, content: bytes) -> None:
    sidecar = dataset / "sub-02/anat/sub-02_T1w.json"
    sidecar.write_bytes(content)
    discovery = found(dataset)
    assert labels(discovery) == ["sub-01", "sub-02", "sub-03"]
    (note,) = discovery.notes
    assert note.startswith(f"{sidecar}: is ignored, it is ")
    assert note.endswith("; repair it")
    assert "\n" not in note


def test_a_broken_description_is_told_and_changes_nothing(dataset: Path) -> None:
    (dataset / "dataset_description.json").write_text("{")
    discovery = found(dataset)
    assert len(discovery.visits) == 3
    (note,) = discovery.notes
    assert "dataset_description.json: is ignored, it is not valid JSON" in note


MALFORMED = {
    "with commas": (b"participant_id,age\nsub-01,3\n", "no column participant_id"),
    "of another name": (b"subject\tage\nsub-01\t3\n", "no column participant_id"),
    "empty": (b"", "no column participant_id"),
    "binary": (b"\xff\xfe\x00", "cannot be read as a table"),
    "a quote without its end": (b'participant_id\tage\n"sub-01\t3\nsub-02\t4\n', "end of data"),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_participants_table_is_ignored_as_a_whole(dataset: Path, fault: str) -> None:
    content, words = MALFORMED[fault]
    (dataset / "participants.tsv").write_bytes(content)
    discovery = found(dataset)
    assert len(discovery.visits) == 3
    assert not any(visit.traits for visit in discovery.visits)
    (note,) = discovery.notes
    assert note.startswith(f"{dataset / 'participants.tsv'}: is ignored")
    assert words in note


def test_a_participants_table_that_was_not_fetched(dataset: Path) -> None:
    (dataset / "participants.tsv").symlink_to(".git/annex/objects/x")
    (note,) = found(dataset).notes
    assert "participants.tsv: is ignored, its content is not there; run `datalad get" in note


def test_rows_that_are_twice_there_or_of_nobody(dataset: Path) -> None:
    rows = ["participant_id\tage", "sub-01\t30", "sub-02\t40", "sub-01\t50", "\t60", "sub-03\t1"]
    (dataset / "participants.tsv").write_text("\n".join(rows))
    discovery = found(dataset)
    assert [visit.traits["age"] for visit in discovery.visits] == ["30", "40", "1"]
    assert [note.split(": ", 1)[1] for note in discovery.notes] == [
        "line 4 is ignored, sub-01 has a row above it",
        "line 5 is ignored, it has no participant_id",
    ]


def test_ids_of_the_table_that_differ_from_the_folders(dataset: Path) -> None:
    rows = ["participant_id", "sub-1", "sub-02", *(f"sub-9{n}" for n in range(7))]
    (dataset / "participants.tsv").write_text("\n".join(rows))
    discovery = found(dataset)
    assert len(discovery.visits) == 3
    assert [note.split(": ", 1)[1] for note in discovery.notes] == [
        "has no row for sub-01, sub-03; what it would say is unknown",
        "lists sub-1, sub-90, sub-91, sub-92, sub-93 and 3 more, of whom there is no folder",
    ]
    (note,) = found(dataset, "03").notes
    assert "has no row for sub-03;" in note


def test_an_image_in_the_folder_of_another_is_nobodys(dataset: Path) -> None:
    """It was taken for the scan of the participant in its name, and the visit for incomplete."""
    anat = dataset / "sub-01/anat"
    (anat / "sub-01_T2w.nii.gz").rename(anat / "sub-02_T2w.nii.gz")
    discovery = found(dataset)
    assert labels(discovery) == ["sub-02", "sub-03"]
    assert discovery.visits[0].scans["T2w"].path.parent.parent.name == "sub-02"
    (problem,) = discovery.problems
    assert str(problem) == (
        f"sub-01: {anat / 'sub-02_T2w.nii.gz'}: its name says sub-02, its folder sub-01; whose "
        "it is cannot be known; rename or move it"
    )
    assert found(dataset, "01").problems == discovery.problems
    assert found(dataset, "02").problems == ()


def test_an_image_in_the_folder_of_another_session(tmp_path: Path) -> None:
    paths = [f"sub-01/ses-{s}/anat/sub-01_ses-{s}_T1w.nii.gz" for s in "AB"]
    dataset = make_dataset(tmp_path, *paths, "sub-01/ses-A/anat/sub-01_ses-B_T2w.nii.gz")
    discovery = found(dataset)
    assert labels(discovery) == ["sub-01_ses-B"]
    # By its name it is a T2w of session B: that visit lacks none, and none is made for it.
    assert discovery.visits[0].missing(("T1w", "T2w")) == ()
    assert "ses-A/anat/sub-01_ses-B_T2w" in discovery.visits[0].doubtful["T2w"]
    (problem,) = discovery.problems
    assert problem.visit == "sub-01_ses-A"
    assert "its name says sub-01_ses-B, its folder sub-01_ses-A" in problem.message


def test_a_refused_header_takes_its_visit_out_of_the_plan(dataset: Path) -> None:
    (dataset / "sub-02/anat/sub-02_T1w.nii.gz").write_text("no image")
    (dataset / "sub-02/anat/sub-02_T2w.nii.gz").write_text("none, too")
    discovery = found(dataset)
    assert labels(discovery) == ["sub-01", "sub-03"]
    assert [problem.visit for problem in discovery.problems] == ["sub-02", "sub-02"]
    assert [visit.label for visit in discovery.unusable] == ["sub-02"]


def test_a_dry_run_of_many_reads_no_header_and_says_so(tmp_path: Path) -> None:
    gone = tmp_path / "gone.nii.gz"
    visits = tuple(Visit(f"{n:04}", None, {"T1w": Scan("T1w", gone)}) for n in range(MOST + 1))
    planned = admitted(Discovery(visits), planning=True)
    assert planned.visits == visits
    (note,) = planned.notes
    assert "the headers of 2,001 scans are not looked at in a dry run" in note
    few = admitted(Discovery(visits[:3]), planning=True)
    assert (few.visits, len(few.problems)) == ((), 3)
    assert len(admitted(Discovery(visits), planning=False).problems) == MOST + 1


def test_a_broken_mask_of_another_pipeline_fails_its_visit(dataset: Path) -> None:
    mask = dataset / "mask.nii.gz"
    mask.write_text("no image")
    scan = Scan("T1w", dataset / "sub-01/anat/sub-01_T1w.nii.gz")
    visit = Visit("01", None, {"T1w": scan}, brain_mask=mask, mask_of="T1w")
    (problem,) = admitted(Discovery((visit,)), planning=False).problems
    assert str(mask) in problem.message
