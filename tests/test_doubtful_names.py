"""Doubtful names: no image that is there is invented, however called and wherever it lies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePosixPath

import pytest
from bids_fixtures import make_dataset
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bids_synth.bids.checks.spelling import OTHERS, better, could_be, name_faults
from bids_synth.bids.names import parse_name
from bids_synth.bids.plan import plan
from bids_synth.bids.raw.filters import read_filters
from bids_synth.bids.raw.query import Discovery, query
from bids_synth.core.modality import MODALITIES
from bids_synth.errors import UsageError
from bids_synth.recipe.recipe import load_recipe, validate_recipe

IMPUTE = load_recipe("impute")
SPELLINGS = {
    "T1w": (
        "T1w",
        "t1w",
        "T1W",
        "T1",
        "t1",
        "T1w1",
        "T1weighted",
        "t1-weighted",
        "MPRAGE",
        "3DT1",
    ),
    "T2w": ("T2w", "t2w", "T2W", "T2", "t2", "T2weighted", "T2TSE", "t2_tse"),
    "FLAIR": ("FLAIR", "Flair", "flair", "T2_FLAIR", "T2FLAIR", "t2-flair"),
    "PDw": ("PDw", "pdw", "PD", "pd", "PDweighted"),
}
BEFORE = ("", "acq-mp-rage_", "acq-hi res_", "acq-a.b_", "foo-bar_", "run1_", "run-1_run-2_", "x_",
          "acq-hi_", "run-1_acq-x_", "acq_", "acq-T2_", "contrast-none_")  # fmt: skip
AFTER = ("", "_defaced", "-defaced", " (1)", "(1)", "_copy", "_brain", ".orig", "_2", "__", "_n4")
ENDINGS = (".nii.gz", ".nii", ".NII.GZ", ".Nii", ".nii.bz2", ".nii.zst", ".mgz", ".hdr", ".img",
           ".mha", ".nrrd", ".dcm", ".nii.gz.bak", ".gz", "", ".nii.gz.1")  # fmt: skip
STARTS = ("sub-01_", "Sub-01_", "SUB-01_", "sub01_", "01_", "", "sub_01_", "sub-01-", "sub-01 ")
PLACES = ("anat", "Anat", "ANAT", "func", "", "anat/old", "mri", "pet", "anat1", "dwi")


@st.composite
def misspelled(draw: st.DrawFn) -> tuple[str, str]:
    """A modality and a path of an image of it that BIDS would not have, or not there."""
    modality = draw(st.sampled_from(sorted(SPELLINGS)))
    pieces = (STARTS, BEFORE, SPELLINGS[modality], AFTER, ENDINGS)
    # Mostly as it should be, so that each fault is seen alone and with few others.
    name = "".join(draw(st.just(one[0]) | st.sampled_from(one)) for one in pieces)
    place = draw(st.just("anat") | st.sampled_from(PLACES))
    return modality, str(PurePosixPath("sub-01", place, name))


@settings(max_examples=400)
@given(misspelled())
@example(("T1w", "sub-01/anat/sub-01T1w.nii.gz"))
@example(("T1w", "sub-01/anat/sub-01_acq-T1w.nii.gz"))
@example(("T1w", "sub-01/anat/sub-01_defacedT1w.nii.gz"))
@example(("T1w", "sub-01/anat/sub-01_UNIT1.nii.gz"))
@example(("T2w", "sub-01/anat/sub-01_PDT2.nii.gz"))
def test_no_spelling_hides_what_an_image_is_and_the_better_name_is_one(
    found: tuple[str, str],
) -> None:
    modality, text = found
    path = PurePosixPath(text)
    assert modality in could_be(path.name)
    call = better(path, modality, MODALITIES[modality])
    name = parse_name(call)
    assert call.endswith(f"_{modality}{name.extension}")
    assert (name.participant, name.datatype, name.suffix) == ("01", "anat", modality)
    assert name_faults(PurePosixPath(call), modality) == []


@given(
    st.sampled_from(sorted(OTHERS)) | st.sampled_from(["cbf", "pet", "ct", "T1map"]),
    st.lists(
        st.tuples(st.sampled_from(["acq", "task", "run", "rec"]),
                  st.sampled_from(["T1w", "t2", "FLAIR", "1"])),
        max_size=3, unique_by=lambda pair: pair[0],
    ),
)  # fmt: skip
def test_no_other_image_of_bids_is_taken_for_one_of_these(
    suffix: str, pairs: list[tuple[str, str]]
) -> None:
    """Labels are free: `task-T1_bold` is no T1w."""
    stem = "_".join(["sub-01", *(f"{key}-{label}" for key, label in pairs)])
    assert not could_be(f"{stem}_{suffix}.nii.gz") & set(SPELLINGS)
    assert not could_be(f"{stem}_T1w.json")
    assert not could_be(f"{stem}_T1w_mask.nii.gz")


def looked_at(dataset: Path) -> tuple[Discovery, set[str]]:
    """What is found, and what would be made of it."""
    found = query(dataset, IMPUTE)
    rows = plan(found.visits, IMPUTE, evaluate=False)
    return found, {target for row in rows for target in row.targets}


@settings(max_examples=12)
@given(misspelled().filter(lambda found: found[0] != "FLAIR"))
@example(("T1w", "sub-01/ses_a/sub-01_T1w.nii.gz"))
@example(("T1w", "Sub-01/anat/sub-01_T1w.nii.gz"))
@example(("T1w", "sub-01_T1w.nii.gz"))
@example(("T1w", "sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"))
@example(("T1w", "sub-01/anat/sub-01_part-phase_T1w.nii.gz"))
def test_no_misspelled_image_is_ever_made_anew_and_each_is_named(
    tmp_path_factory: pytest.TempPathFactory, image: tuple[str, str]
) -> None:
    modality, text = image
    root = tmp_path_factory.mktemp("raw")
    dataset = make_dataset(root, "sub-01/anat/sub-01_FLAIR.nii.gz", text)
    found, made = looked_at(dataset)
    (visit,) = found.visits
    if modality in visit.scans:
        assert visit.scans[modality].path == dataset / text
    else:
        assert modality not in made
        assert text in visit.doubtful[modality]
        (note,) = [n for n in found.notes if f"{text} may be its {modality}" in n]
        assert note.startswith("sub-01: ")
    assert made == {"T1w", "T2w", "PDw"} - set(visit.scans) - set(visit.doubtful)
    shutil.rmtree(root)


def test_what_is_there_as_it_should_be_is_not_doubted_for_what_lies_beside_it(
    tmp_path: Path,
) -> None:
    names = ("T1w", "T1w_defaced", "part-phase_T1w", "UNIT1", "T2w")
    paths = [f"sub-01/anat/sub-01_{name}.nii.gz" for name in names]
    found, made = looked_at(make_dataset(tmp_path / "raw", *paths))
    assert made == {"PDw", "FLAIR"}
    (note,) = found.notes
    assert "sub-01_T1w_defaced.nii.gz is not used as T1w" in note


@pytest.mark.parametrize("asked", [(), ("01",)])
@pytest.mark.parametrize(
    "place", ["sub-01/anat/sub-01_T1w/I1.dcm", "sub-01/T1w/1", "sub-01/anat/T1w.dcm/1",
              "Sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T1w.tar.gz"]
)  # fmt: skip
def test_slices_archives_and_folders_of_a_modality_are_images_too(
    place: str, asked: tuple[str, ...], tmp_path: Path
) -> None:
    dataset = make_dataset(tmp_path / "raw", "sub-01/anat/sub-01_FLAIR.nii.gz", place)
    found = query(dataset, IMPUTE, participants=asked)
    (visit,) = found.visits
    assert visit.missing(IMPUTE.targets) == ("T2w", "PDw")
    assert place.split("/I1")[0].removesuffix("/1") in visit.doubtful["T1w"]
    assert len(found.notes) == 1


def test_contrast_agents_are_told_apart_however_they_are_spelled(tmp_path: Path) -> None:
    data = IMPUTE.model_dump(mode="json") | {"modalities": {"T1w": "either", "T1wGd": "either"}}
    recipe = validate_recipe(data, origin="test")
    paths = ["sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_ce-gad_T1w.nii.gz",
             "sub-02/anat/sub-02_ce-gadolinium_T1w.nii", "sub-02/anat/sub-02_t1.nii"]  # fmt: skip
    found = query(make_dataset(tmp_path / "raw", *paths), recipe)
    one, two = found.visits
    assert (set(one.scans), set(one.doubtful)) == ({"T1w"}, {"T1wGd"})
    assert (set(two.scans), set(two.doubtful)) == ({"T1wGd"}, {"T1w"})


def test_an_image_of_another_session_or_of_none_is_not_missing(tmp_path: Path) -> None:
    dataset = make_dataset(
        tmp_path / "raw",
        "sub-01/ses-A/anat/sub-01_ses-A_FLAIR.nii.gz",
        "sub-01/ses-B/anat/sub-01_ses-B_FLAIR.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-B_T2w.nii.gz",
        "sub-01/Ses-B/anat/sub-01_ses-B_PDw.nii.gz",
        "sub-01/anat/sub-01_T1w.nii.gz",
    )
    visits = {visit.label: visit for visit in query(dataset, IMPUTE).visits}
    assert set(visits["sub-01_ses-A"].doubtful) == {"T1w"}
    assert set(visits["sub-01_ses-B"].doubtful) == {"T1w", "T2w", "PDw"}


NASTY = st.lists(
    st.sampled_from(
        ["pet", "anat", "ct", "perf", "sub-99", "ses-2", "run-1_x", "ms_ce-study", "acq-x",
         "x_part-phase_y", "a_desc-b", "derivatives", "sub-01_T1w.nii.gz", "study 1", "ämter"]
    ),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=5)
@given(NASTY, st.just(False))
@example(["derivatives", "x_ce-y", "pet"], True)
def test_the_plan_is_the_same_wherever_the_dataset_lies(
    tmp_path_factory: pytest.TempPathFactory, above: list[str], use_database: bool
) -> None:
    home = tmp_path_factory.mktemp("home")
    filters = home / "filter.json"
    filters.write_text(json.dumps({"t1w": {"datatype": "anat", "acquisition": None}}))
    paths = ["sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_acq-y_T2w.nii.gz",
             "sub-02/ses-1/anat/sub-02_ses-1_run-2_T1w.nii", "sub-02/sub-02_t2.nii"]  # fmt: skip

    def told(root: Path) -> object:
        dataset = make_dataset(root, *paths)
        found = query(dataset, IMPUTE, filters=read_filters(filters),
                      database=home / f"db{root.name}" if use_database else None)  # fmt: skip
        scans = [
            (v.label, m, s.path.relative_to(dataset), dict(s.entities))
            for v in found.visits
            for m, s in v.scans.items()
        ]
        notes = [note.replace(str(dataset), "") for note in found.notes]
        return scans, [v.doubtful for v in found.visits], notes, found.problems

    assert told(home.joinpath(*above, "raw")) == told(home / "plain")


def test_a_database_of_another_program_is_not_read(tmp_path: Path) -> None:
    from bids.layout import BIDSLayout, BIDSLayoutIndexer

    dataset = make_dataset(tmp_path / "x_ce-y/raw", "sub-01/anat/sub-01_T1w.nii.gz")
    database = tmp_path / "db"
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False)
    BIDSLayout(dataset, validate=False, database_path=database, indexer=indexer)
    found = query(dataset, IMPUTE, database=database)
    assert set(found.visits[0].scans) == {"T1w"}
    assert "index of another program or version" in found.notes[0]


# filters


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"suffix": "t1w"}, "'t1w' matches no image: it is no suffix of BIDS"),
        ({"suffix": None}, "null matches no image"),
        ({"datatype": "mri"}, "'mri' matches no image; expected anat or ct"),
        ({"datatype": ["anat", "func"]}, "'func' matches no image"),
        ({"extension": ".mgz"}, "'.mgz' matches no image; expected .nii or .nii.gz"),
        ({"acquisition": "mp-rage"}, "expected letters and digits"),
        ({"run": "first"}, "expected a number"),
    ],
)
def test_a_filter_that_can_never_match_is_refused(
    content: dict[str, object], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "f.json"
    path.write_text(json.dumps({"t1w": content}))
    with pytest.raises(UsageError) as error:
        read_filters(path)
    assert words in str(error.value)
    assert f"t1w.{next(iter(content))}" in str(error.value)


def test_the_plain_filters_of_other_apps_are_read(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    plain = {"datatype": "anat", "suffix": "T1w", "extension": ["nii.gz", ".nii"], "run": 1,
             "acquisition": "*", "session": "ses-A"}  # fmt: skip
    path.write_text(json.dumps({"t1w": plain, "t2w": {"suffix": "UNIT1", "run": ["01", 2]}}))
    assert read_filters(path).queries["T1w"]["extension"] == (".nii.gz", ".nii")
