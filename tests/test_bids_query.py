"""Query: which visits are found, chosen, refused; every fault names its file and remedy."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from bids_fixtures import make_dataset

from bids_synth.bids.raw.filters import read_filters
from bids_synth.bids.raw.folders import list_folders
from bids_synth.bids.raw.index import index
from bids_synth.bids.raw.query import query
from bids_synth.errors import UsageError
from bids_synth.recipe.recipe import load_recipe, validate_recipe

IMPUTE = load_recipe("impute")

PATHS = (
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/anat/sub-01_T2w.nii",
    "sub-01/func/sub-01_task-rest_bold.nii.gz",
    "sub-02/ses-A/anat/sub-02_ses-A_T1w.nii.gz",
    "sub-02/ses-B/anat/sub-02_ses-B_FLAIR.nii.gz",
    "sub-03/func/sub-03_task-rest_bold.nii.gz",
)


@pytest.fixture
def dataset(tmp_path):
    return make_dataset(tmp_path / "raw", *PATHS)


def recipe_of(**roles):
    data = IMPUTE.model_dump(mode="json") | {"modalities": roles}
    return validate_recipe(data, origin="test")


def found(discovery):
    return {v.label: {m: s.path.name for m, s in v.scans.items()} for v in discovery.visits}


def write_json(path, content):
    path.write_text(json.dumps(content))
    return path


def test_visits_are_participants_at_sessions(dataset):
    discovery = query(dataset, IMPUTE)
    assert found(discovery) == {
        "sub-01": {"T1w": "sub-01_T1w.nii.gz", "T2w": "sub-01_T2w.nii"},
        "sub-02_ses-A": {"T1w": "sub-02_ses-A_T1w.nii.gz"},
        "sub-02_ses-B": {"FLAIR": "sub-02_ses-B_FLAIR.nii.gz"},
    }
    assert discovery.problems == discovery.notes == ()
    scan = discovery.visits[1].scans["T1w"]
    assert scan.path == dataset / "sub-02/ses-A/anat/sub-02_ses-A_T1w.nii.gz"
    assert scan.entities == {"sub": "02", "ses": "A"}


@pytest.mark.parametrize("label", ["02", "sub-02"])
def test_labels_select(dataset, label):
    assert set(found(query(dataset, IMPUTE, participants=[label]))) == {
        "sub-02_ses-A",
        "sub-02_ses-B",
    }
    assert set(found(query(dataset, IMPUTE, participants=[label], sessions=["ses-B"]))) == {
        "sub-02_ses-B"
    }
    assert set(found(query(dataset, IMPUTE, sessions=["A"]))) == {"sub-02_ses-A"}


def test_unknown_labels_are_all_named_with_some_that_exist(dataset):
    with pytest.raises(UsageError) as error:
        query(dataset, IMPUTE, participants=["99", "01", "98", "../sub-01"])
    assert "has no 99, 98, ../sub-01; it has 01, 02, 03" in str(error.value)
    with pytest.raises(UsageError) as error:
        query(dataset, IMPUTE, participants=["02"], sessions=["A", "Z"])
    assert "has no Z; it has A, B" in str(error.value)


def test_a_participant_without_an_image_is_noted(dataset):
    discovery = query(dataset, IMPUTE, participants=["03"])
    assert discovery.visits == ()
    assert "sub-03: has no image of T1w, T2w, PDw, FLAIR" in discovery.notes[0]


def test_what_is_no_dataset_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no dataset_description\.json"):
        query(tmp_path, IMPUTE)


def test_one_participant_neither_lists_the_root_nor_opens_another(dataset, monkeypatch):
    """Measured on 10,000 participants, listing the root is what costs."""
    listed = []
    scandir = os.scandir

    def spy(path="."):
        listed.append(Path(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", spy)
    assert len(query(dataset, IMPUTE, participants=["02"]).visits) == 2
    assert listed
    assert all(path.is_relative_to(dataset / "sub-02") for path in listed)


def test_ct_and_pet_are_found_though_pybids_has_no_ct_datatype(tmp_path):
    dataset = make_dataset(
        tmp_path / "raw",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/ct/sub-01_ct.nii.gz",
        "sub-01/anat/sub-01_ct.nii.gz",
        "sub-01/pet/sub-01_trc-PBR28_pet.nii.gz",
        "sub-01/perf/sub-01_cbf.nii.gz",
    )
    recipe = recipe_of(T1w="source", ct="target", pet="target", cbf="target")
    scans = query(dataset, recipe).visits[0].scans
    assert scans["ct"].path == dataset / "sub-01/ct/sub-01_ct.nii.gz"
    assert scans["pet"].entities == {"sub": "01", "trc": "PBR28"}
    assert set(scans) == {"T1w", "ct", "pet", "cbf"}


def test_gadolinium_is_a_modality_of_its_own(tmp_path):
    dataset = make_dataset(
        tmp_path / "raw",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_ce-gadolinium_T1w.nii.gz",
        "sub-02/anat/sub-02_ce-gadolinium_T1w.nii.gz",
    )
    both = recipe_of(T1w="either", T1wGd="either")
    assert found(query(dataset, both)) == {
        "sub-01": {"T1w": "sub-01_T1w.nii.gz", "T1wGd": "sub-01_ce-gadolinium_T1w.nii.gz"},
        "sub-02": {"T1wGd": "sub-02_ce-gadolinium_T1w.nii.gz"},
    }
    assert set(found(query(dataset, IMPUTE))) == {"sub-01"}


def test_derived_and_phase_images_are_never_scans(tmp_path):
    dataset = make_dataset(
        tmp_path / "raw",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_space-T1w_desc-synth_T2w.nii.gz",
        "sub-01/anat/sub-01_desc-preproc_FLAIR.nii.gz",
        "sub-01/anat/sub-01_part-phase_PDw.nii.gz",
        "derivatives/bids_synth/sub-01/anat/sub-01_T2w.nii.gz",
        "sourcedata/sub-01/anat/sub-01_T2w.nii.gz",
    )
    assert found(query(dataset, IMPUTE)) == {"sub-01": {"T1w": "sub-01_T1w.nii.gz"}}


def test_of_several_runs_the_first_is_used_and_all_are_named(tmp_path):
    names = ["sub-01_run-10_T1w.nii.gz", "sub-01_run-9_T1w.nii.gz", "sub-01_run-11_T1w.nii.gz"]
    dataset = make_dataset(tmp_path / "raw", *(f"sub-01/anat/{name}" for name in names))
    discovery = query(dataset, IMPUTE)
    assert found(discovery) == {"sub-01": {"T1w": "sub-01_run-9_T1w.nii.gz"}}
    (note,) = discovery.notes
    assert all(name in note for name in names)
    assert "--bids-filter-file" in note
    filters = read_filters(write_json(tmp_path / "f.json", {"t1w": {"run": 10}}))
    discovery = query(dataset, IMPUTE, filters=filters)
    assert found(discovery) == {"sub-01": {"T1w": "sub-01_run-10_T1w.nii.gz"}}
    assert discovery.notes == ()


def test_a_dangling_link_is_a_problem_and_never_missing(dataset):
    link = dataset / "sub-01/anat/sub-01_FLAIR.nii.gz"
    link.symlink_to("../../.git/annex/objects/aa/SHA256E-s1--b.nii.gz")
    discovery = query(dataset, IMPUTE)
    assert "sub-01" not in found(discovery)
    (problem,) = discovery.problems
    assert problem.visit == "sub-01"
    assert f"datalad get {link}" in problem.message


def test_links_with_content_are_followed(dataset):
    content = dataset / ".git" / "annex" / "x.nii.gz"
    content.parent.mkdir(parents=True)
    content.write_text("x")
    (dataset / "sub-01/anat/sub-01_FLAIR.nii.gz").symlink_to("../../.git/annex/x.nii.gz")
    assert "FLAIR" in query(dataset, IMPUTE).visits[0].scans


@pytest.mark.parametrize(
    ("content", "word"), [("", "0 bytes"), ("/annex/objects/SHA256E-s1--b.nii.gz\n", "git-annex")]
)
def test_a_file_without_content_is_a_problem(dataset, content, word):
    path = dataset / "sub-01/anat/sub-01_T2w.nii"
    path.write_text(content)
    (problem,) = query(dataset, IMPUTE).problems
    assert str(path) in problem.message
    assert word in problem.message


def test_filters_select_by_entity_absence_and_presence(tmp_path):
    dataset = make_dataset(
        tmp_path / "raw",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_acq-mp2_T1w.nii.gz",
        "sub-01/anat/sub-01_acq-x_T2w.nii.gz",
        "sub-01/anat/sub-01_rec-y_FLAIR.nii.gz",
    )
    for filters, expected in (
        ({"T1W": {"acquisition": "mp2"}}, "sub-01_acq-mp2_T1w.nii.gz"),
        ({"t1w": {"acquisition": ["mp2", "mp3"]}}, "sub-01_acq-mp2_T1w.nii.gz"),
        ({"t1w": {"acquisition": None}}, "sub-01_T1w.nii.gz"),
        ({"t1w": {"acquisition": "*"}}, "sub-01_acq-mp2_T1w.nii.gz"),
        ({"t1w": {"datatype": "anat", "suffix": "T1w"}}, "sub-01_T1w.nii.gz"),
        ({"t1w": {"acquisition": "no"}}, None),
    ):
        read = read_filters(write_json(tmp_path / "f.json", filters))
        scans = found(query(dataset, IMPUTE, filters=read))["sub-01"]
        assert scans.get("T1w") == expected
        assert set(scans) >= {"T2w", "FLAIR"}
    read = read_filters(write_json(tmp_path / "f.json", {"flair": {"reconstruction": None}}))
    assert "FLAIR" not in found(query(dataset, IMPUTE, filters=read))["sub-01"]


def test_queries_of_other_apps_are_ignored_with_a_note(dataset, tmp_path):
    """BABS sends these keys to every app whose name contains `prep`."""
    keys = ["fmap", "bold", "dwi", "asl", "sbref", "flair", "t2w", "t1w", "roi"]
    content = {key: {"session": "A"} for key in keys}
    filters = read_filters(write_json(tmp_path / "f.json", content))
    assert len(filters.notes) == 6
    discovery = query(dataset, IMPUTE, filters=filters)
    assert set(found(discovery)) == {"sub-02_ses-A"}
    assert any("'bold'" in note for note in discovery.notes)


def test_every_fault_of_a_filter_file_is_listed(tmp_path):
    content = {
        "t1w": {"acq": "x", "run": True, "colour": "red"},
        "t2w": ["x"],
        "flair": {"session": {}},
    }
    path = write_json(tmp_path / "f.json", content)
    with pytest.raises(UsageError) as error:
        read_filters(path)
    text = str(error.value)
    assert str(path) in text
    for part in ("'acquisition'", "t1w.run", "t1w.colour", "t2w: expected", "flair.session"):
        assert part in text
    path.write_text("{")
    with pytest.raises(UsageError, match="not valid JSON"):
        read_filters(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_filters(tmp_path / "absent.json")
    with pytest.raises(UsageError, match="JSON object"):
        read_filters(write_json(path, [1]))


def test_a_session_filter_may_not_contradict_the_session_label(dataset, tmp_path):
    filters = read_filters(write_json(tmp_path / "f.json", {"t1w": {"session": "ses-B"}}))
    with pytest.raises(UsageError, match="session B contradicts --session-label A"):
        query(dataset, IMPUTE, sessions=["A"], filters=filters)
    assert set(found(query(dataset, IMPUTE, sessions=["B"], filters=filters))) == {"sub-02_ses-B"}


def test_everything_wrong_with_a_request_is_said_at_once(dataset, tmp_path):
    with pytest.raises(UsageError) as error:
        query(
            dataset,
            IMPUTE,
            participants=["99"],
            derivatives={"a": tmp_path / "absent", "b": dataset},
            database=dataset / "db",
        )
    text = str(error.value)
    for part in ("has no 99", "a=", "b=", "lies in the raw dataset"):
        assert part in text


# brain masks of other pipelines


def derivative(root, *paths, **description):
    make_dataset(root, *paths)
    content = {"Name": "x", "BIDSVersion": "1.4.0", "DatasetType": "derivative"} | description
    write_json(root / "dataset_description.json", content)
    return {"smriprep": root}


def test_a_brain_mask_of_smriprep_is_of_the_t1w(dataset, tmp_path):
    masks = derivative(
        tmp_path / "d",
        "sub-01/anat/sub-01_desc-brain_mask.nii.gz",
        "sub-01/anat/sub-01_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz",
        "sub-02/ses-B/anat/sub-02_ses-B_space-FLAIR_desc-brain_mask.nii.gz",
        "sub-02/ses-A/anat/sub-02_ses-A_space-FLAIR_desc-brain_mask.nii.gz",
    )
    one, two, three = query(dataset, IMPUTE, derivatives=masks).visits
    assert one.brain_mask == tmp_path / "d/sub-01/anat/sub-01_desc-brain_mask.nii.gz"
    assert one.mask_of == "T1w"
    assert two.brain_mask is None
    assert two.mask_of is None
    assert three.brain_mask.name == "sub-02_ses-B_space-FLAIR_desc-brain_mask.nii.gz"
    assert three.mask_of == "FLAIR"


def test_a_mask_of_another_run_or_of_no_one_session_is_not_used(dataset, tmp_path):
    (dataset / "sub-01/anat/sub-01_T1w.nii.gz").rename(
        dataset / "sub-01/anat/sub-01_run-1_T1w.nii.gz"
    )
    masks = derivative(
        tmp_path / "d",
        "sub-01/anat/sub-01_run-2_desc-brain_mask.nii.gz",
        "sub-02/anat/sub-02_desc-brain_mask.nii.gz",
    )
    discovery = query(dataset, IMPUTE, derivatives=masks)
    assert all(v.brain_mask is None for v in discovery.visits)
    told = [note for note in discovery.notes if "brain_mask" in note]
    assert "sub-01_run-2_desc-brain_mask.nii.gz" in told[0]
    assert "it is of run-2" in told[0]
    assert all("sub-02_desc-brain_mask.nii.gz" in note for note in told[1:])
    assert len(told) == 3


def test_a_mask_without_content_is_a_problem(dataset, tmp_path):
    masks = derivative(tmp_path / "d", "sub-01/anat/sub-01_desc-brain_mask.nii.gz")
    (tmp_path / "d/sub-01/anat/sub-01_desc-brain_mask.nii.gz").write_text("")
    (problem,) = query(dataset, IMPUTE, derivatives=masks).problems
    assert problem.visit == "sub-01"
    assert "brain_mask" in problem.message


# the database


def test_a_database_is_made_for_all_and_reused(dataset, tmp_path):
    database = tmp_path / "db"
    one = query(dataset, IMPUTE, participants=["01"], database=database)
    file = database / "layout_index.sqlite"
    made = file.stat().st_mtime_ns
    both = query(dataset, IMPUTE, database=database)
    assert file.stat().st_mtime_ns == made
    assert [f.name for f in database.iterdir()] == [file.name]
    assert set(found(one)) == {"sub-01"}
    assert found(both) == found(query(dataset, IMPUTE))
    assert one.notes == both.notes == ()
    query(dataset, IMPUTE, database=database, wipe_database=True)
    assert file.stat().st_mtime_ns > made


@pytest.mark.parametrize("clock", [-100, 0, 10**8])
def test_an_image_newer_than_the_database_is_not_taken_for_missing(dataset, tmp_path, clock):
    database = tmp_path / "db"
    query(dataset, IMPUTE, database=database)
    made = time.time() + clock
    os.utime(database / "layout_index.sqlite", (made, made))
    (dataset / "sub-01/anat/sub-01_FLAIR.nii.gz").write_text("x")
    discovery = query(dataset, IMPUTE, participants=["01"], database=database)
    assert "FLAIR" in discovery.visits[0].scans
    assert "--bids-database-wipe" in discovery.notes[0]


def test_a_database_of_another_dataset_or_a_broken_one_is_not_used(dataset, tmp_path):
    database = tmp_path / "db"
    other = make_dataset(tmp_path / "other", "sub-09/anat/sub-09_T1w.nii.gz")
    query(other, IMPUTE, database=database)
    discovery = query(dataset, IMPUTE, database=database)
    assert "sub-01" in found(discovery)
    assert str(other) in discovery.notes[0]
    (database / "layout_index.sqlite").write_bytes(b"no database" * 1000)
    discovery = query(dataset, IMPUTE, database=database)
    assert "sub-01" in found(discovery)
    assert "cannot be used" in discovery.notes[0]


def test_a_locked_database_is_not_used(dataset, tmp_path, monkeypatch):
    from sqlalchemy.exc import OperationalError

    def locked(*arguments, **options):
        statement = "PRAGMA"
        raise OperationalError(statement, {}, Exception("database is locked"))

    monkeypatch.setattr("bids_synth.bids.raw.index._make_database", locked)
    discovery = query(dataset, IMPUTE, database=tmp_path / "db")
    assert "sub-01" in found(discovery)
    assert "database is locked" in discovery.notes[0]


def test_the_index_of_one_is_the_part_of_the_index_of_all(dataset):
    everything, _ = index(dataset, participants=(), images=list_folders(dataset).images)
    one, _ = index(dataset, participants=["02"], images=list_folders(dataset, ["02"]).images)
    wanted = {f.path for f in everything.get(subject="02")}
    assert {f.path for f in one.get()} == wanted
    assert len(wanted) == 2
