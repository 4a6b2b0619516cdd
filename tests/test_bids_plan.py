"""Plan: what will be done with a visit follows from what it has."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bids_synth.bids.plan import format_plan, plan, plan_json
from bids_synth.bids.query import Discovery
from bids_synth.recipe import load_recipe, validate_recipe
from bids_synth.visit import Scan, Visit

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
