"""Withholding: roles, the minimum and the curriculum hold for any visit."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from bids_synth.learn.data.scenarios import draw_scenario
from bids_synth.recipe.recipe import load_recipe, validate_recipe

NAMES = ["T1w", "T2w", "PDw", "FLAIR", "ct"]


@st.composite
def recipes(draw):
    roles = draw(st.lists(st.sampled_from(["either", "source", "target"]), min_size=5, max_size=5))
    assume(any(r != "target" for r in roles) and any(r != "source" for r in roles))
    data = load_recipe("impute").model_dump(mode="json")
    data["modalities"] = dict(zip(NAMES, roles, strict=True))
    data["minimum"] = draw(st.integers(1, sum(r != "target" for r in roles)))
    return validate_recipe(data, origin="test")


present_sets = st.lists(st.sampled_from(NAMES), unique=True)


@given(recipes(), present_sets, st.floats(0, 1), st.integers(0, 999))
def test_a_scenario_respects_roles_and_minimum(recipe, present, progress, seed):
    assume(any(task.real for task in recipe.tasks(present)))
    drawn = draw_scenario(recipe, present, progress, np.random.default_rng(seed))
    assert len(drawn.sources) >= recipe.minimum
    assert drawn.scored
    assert not set(drawn.sources) & set(drawn.scored)
    assert {*drawn.sources, *drawn.scored} <= set(present)
    assert all(recipe.modalities[m] != "target" for m in drawn.sources)
    assert all(recipe.modalities[m] != "source" for m in drawn.scored)


def test_the_curriculum_begins_with_one_withheld():
    recipe = load_recipe("impute")
    rng = np.random.default_rng(0)
    early = [len(draw_scenario(recipe, NAMES[:4], 0.0, rng).scored) for _ in range(200)]
    late = [len(draw_scenario(recipe, NAMES[:4], 1.0, rng).scored) for _ in range(2000)]
    assert set(early) == {1}
    assert set(late) == {1, 2, 3}
    assert abs(np.mean(np.array(late) > 1) - recipe.missing.several) < 0.04


def test_a_pure_target_is_always_scored_and_needs_no_withholding():
    data = load_recipe("impute").model_dump(mode="json")
    data["modalities"] = {"T1w": "source", "T2w": "source", "ct": "target"}
    recipe = validate_recipe(data, origin="test")
    rng = np.random.default_rng(0)
    drawn = [draw_scenario(recipe, ["T1w", "T2w", "ct"], 0.0, rng) for _ in range(50)]
    assert {d.sources for d in drawn} == {("T1w", "T2w")}
    assert {d.scored for d in drawn} == {("ct",)}
