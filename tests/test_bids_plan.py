"""Plan: what will be done with a visit follows from what it has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bids_fixtures import make_dataset
from hypothesis import given
from hypothesis import strategies as st

from bids_synth.bids.plan import format_plan, plan
from bids_synth.bids.plan_json import plan_json
from bids_synth.bids.raw.query import Discovery, query
from bids_synth.cli.main import run_command
from bids_synth.core.visit import Scan, Visit
from bids_synth.errors import UsageError
from bids_synth.recipe.recipe import load_recipe, validate_recipe

IMPUTE = load_recipe("impute")
MODALITIES = tuple(IMPUTE.modalities)


def visit(*modalities: str) -> Visit:
    return Visit("01", None, {m: Scan(m, Path(f"{m}.nii.gz")) for m in modalities})


def only(*modalities: str, evaluate: bool = False, **changes):
    recipe = validate_recipe({**IMPUTE.model_dump(mode="json"), **changes}, origin="test")
    (row,) = plan([visit(*modalities)], recipe, evaluate=evaluate)
    return row


def test_each_action():
    row = only("T1w", "PDw", "FLAIR")
    assert (row.action, row.targets, row.why) == (
        "synthesise",
        ("T2w",),
        "T2w from T1w+PDw+FLAIR",
    )
    assert only(*MODALITIES).action == "complete"
    assert only(*MODALITIES, evaluate=True).action == "evaluate"
    assert only("T1w", minimum=2).action == "prepare only"
    assert only("T2w", modalities={"T1w": "source", "T2w": "target"}).action == "skipped"


@given(st.sets(st.sampled_from(MODALITIES), min_size=1), st.booleans(), st.integers(1, 4))
def test_nothing_is_made_twice_or_from_too_little(present, evaluate, minimum):
    row = only(*present, evaluate=evaluate, minimum=minimum)
    assert not set(row.targets) & present
    assert set(row.evaluated) <= present
    assert not row.evaluated or evaluate
    assert not row.targets or len(present) >= minimum
    assert not row.evaluated or len(present) > minimum
    assert set(row.targets) in (set(), set(MODALITIES) - present)


def test_what_physics_computes_is_named_beside_what_networks_make():
    recipe = load_recipe("cmro2")
    maps = ("cbf", "cbv", "T2map", "T2starmap")
    for present, action, targets, computed, why in (
        (maps, "synthesise", ("cmro2",), ("cmro2", "oef"), "; cmro2, oef by closed form"),
        ((*maps, "cmro2"), "compute", (), ("cmro2", "oef"), "cmro2, oef by closed form"),
        (maps[1:], "synthesise", ("cmro2",), ("oef",), "; oef by closed form"),
        (maps[2:], "synthesise", ("cmro2",), (), "cmro2 from T2map+T2starmap"),
    ):
        (row,) = plan([visit(*present)], recipe, evaluate=False)
        assert (row.action, row.targets, row.computed) == (action, targets, computed)
        assert row.why.endswith(why)
    found = Discovery((visit(*maps, "cmro2"),))
    (told,) = json.loads(plan_json(found, recipe, Path(), evaluate=False))["visits"]
    assert (told["action"], told["computed"]) == ("compute", ["cmro2", "oef"])
    (row,) = plan([visit(*maps)], load_recipe("cmro2-cgan"), evaluate=False)
    assert row.computed == ()


def test_the_table_is_aligned_and_counts():
    recipe = IMPUTE
    rows = plan([visit("T1w"), visit(*MODALITIES)], recipe, evaluate=False)
    head, one, two, last = format_plan(rows).splitlines()
    assert head.index("action") == one.index("synthesise") == two.index("complete")
    assert last == "2 visits: 1 synthesise, 1 complete"


KEY = "MD5E-s{}--0123456789abcdef0123456789abcdef.nii.gz"


def away(dataset: Path, *paths: str, size: int = 1000) -> None:
    """Make files of a dataset what they are in a fresh clone: links to nowhere."""
    for path in paths:
        (dataset / path).unlink(missing_ok=True)
        target = Path(
            *[".."] * path.count("/"), ".git/annex/objects/aa/bb", *[KEY.format(size)] * 2
        )
        (dataset / path).symlink_to(target)


def told(dataset: Path, *, evaluate: bool = False, wanted=None) -> dict:
    recipe = IMPUTE.limited_to(("T1w", "T2w"))
    found = query(dataset, recipe)
    return json.loads(plan_json(found, recipe, dataset, evaluate=evaluate, wanted=wanted))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """01 lacks T2w, 02 has both, 03 lacks it in one of two sessions; no content is there."""
    paths = [
        *("sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"),
        *("sub-02/anat/sub-02_T2w.nii.gz", "sub-03/ses-A/anat/sub-03_ses-A_T1w.nii.gz"),
        *(
            "sub-03/ses-B/anat/sub-03_ses-B_T1w.nii.gz",
            "sub-03/ses-B/anat/sub-03_ses-B_T2w.nii.gz",
        ),
    ]
    dataset = make_dataset(tmp_path / "bids", *paths)
    away(dataset, *paths)
    return dataset


FIRST, SECOND = "sub-01/anat/sub-01_T1w.nii.gz", "sub-03/ses-A/anat/sub-03_ses-A_T1w.nii.gz"


def test_only_what_something_is_made_of_must_be_fetched(clone: Path) -> None:
    plan = told(clone)
    assert plan["participants"] == ["01", "03"]
    assert plan["fetch"] == [FIRST, SECOND]
    assert plan["fetch_bytes"] == 2000
    rows = {row["visit"]: row for row in plan["visits"]}
    assert {row["action"] for row in rows.values()} == {"blocked"}
    assert {label: row["then"] for label, row in rows.items()} == {
        "sub-01": "synthesise",
        "sub-02": "complete",
        "sub-03_ses-A": "synthesise",
        "sub-03_ses-B": "complete",
    }
    assert (rows["sub-03_ses-A"]["participant"], rows["sub-03_ses-A"]["session"]) == ("03", "A")
    assert all(row["files"] == row["absent"] for row in rows.values())


def test_what_is_wanted_is_fetched_where_nothing_is_made_too(clone: Path) -> None:
    scored = told(clone, evaluate=True)
    assert scored["participants"] == ["01", "02", "03"]
    assert len(scored["fetch"]) == 6
    everything = told(clone, wanted=lambda _: True)
    assert everything["fetch"] == scored["fetch"]
    assert told(clone, wanted=lambda visit: visit.participant == "02")["participants"] == ["02"]


def test_tables_and_sidecars_in_the_annex_are_fetched_too(clone: Path) -> None:
    sidecar = FIRST.replace(".nii.gz", ".json")
    (clone / SECOND.replace(".nii.gz", ".json")).write_text("{}")
    away(clone, "participants.tsv", sidecar, size=7)
    plan = told(clone)
    assert plan["fetch"] == ["participants.tsv", FIRST, sidecar, SECOND]
    assert plan["fetch_bytes"] == 2014
    assert plan["visits"][2]["absent"] == [SECOND]


def test_a_pointer_of_an_unlocked_annex_is_fetched(clone: Path) -> None:
    (clone / FIRST).unlink()
    (clone / FIRST).write_text(f"/annex/objects/{KEY.format(30)}\n")
    plan = told(clone)
    assert plan["fetch"] == [FIRST, SECOND]
    assert plan["fetch_bytes"] == 1030


def test_what_fetching_cannot_cure_is_not_fetched(clone: Path) -> None:
    (clone / SECOND).unlink()
    (clone / SECOND).touch()
    (clone / "sub-01/anat/sub-02_T1w.nii.gz").write_bytes(b"of another")
    plan = told(clone)
    assert plan["participants"] == plan["fetch"] == []
    rows = {row["visit"]: row for row in plan["visits"]}
    assert rows["sub-01"]["then"] == rows["sub-03_ses-A"]["then"] == "blocked"
    assert rows["sub-03_ses-A"]["absent"] == []


def test_an_annexed_description_is_asked_for(clone: Path) -> None:
    away(clone, "dataset_description.json")
    with pytest.raises(UsageError, match=r"datalad get .*dataset_description\.json"):
        told(clone)


def test_a_fit_is_planned_before_anything_is_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [f"sub-{p}/anat/sub-{p}_{m}.nii.gz" for p in "abc" for m in ("T1w", "T2w")]
    dataset = make_dataset(tmp_path / "bids", *paths, "sub-d/anat/sub-d_T1w.nii.gz")
    away(dataset, *paths, "sub-d/anat/sub-d_T1w.nii.gz")
    line = [
        str(dataset),
        str(tmp_path / "out"),
        "group",
        "--dry-run",
        "--json",
        "-m",
        "T1w",
        "T2w",
    ]
    assert run_command([*line, "-w", str(tmp_path / "work")]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["participants"] == ["a", "b", "c"]
    assert plan["fetch"] == paths
