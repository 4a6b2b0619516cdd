"""Search spaces: checked against the recipe before a trial is fitted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_synth.errors import RecipeError
from bids_synth.recipe.recipe import Recipe, load_recipe, validate_recipe
from bids_synth.recipe.sections.tune import flat_keys


def with_space(space: dict) -> Recipe:
    data = load_recipe("impute").model_dump(mode="json", exclude={"tune"})
    return validate_recipe(data | {"tune": space}, origin="mine")


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"fit.stepz": {"low": 1, "high": 2}}, r"tune\.fit\.stepz: .*unknown key; allowed: start"),
        ({"fit.ema": {"low": 0.9, "high": 1.5}}, r"tune\.fit\.ema: .*less than 1, got 1\.5"),
        ({"fit.ema": {"low": 0.9, "high": 0.5}}, r"tune\.fit\.ema: low 0\.9 must be below"),
        ({"fit.ema": {"low": 0.0, "high": 0.5, "log": True}}, "log needs low above 0"),
        ({"fit.batch": {"low": 1, "high": 4, "step": 5}}, "step must be above 0 and at most"),
        ({"fit.ema": {"low": 0.9}}, "expected low and high, or choices"),
        ({"fit.ema": {"choices": [0.9]}}, "two or more different values"),
        ({"fit.ema": {"choices": [0.9, 0.99], "low": 0.1}}, "choices stand alone"),
        ({"fit.ema": {"lowest": 0.1, "high": 0.5}}, "unknown key; allowed: low, high"),
        ({"fit.test": {"low": 0.1, "high": 0.2}}, r"fit\.test: is not for tuning; allowed: keys"),
        ({"grid.spacing": {"low": 1, "high": 2}}, "is not for tuning"),
        ({"network.width": {"choices": [8, "many"]}}, r"network\.width: .*got 'many'"),
        ({"fit.ema.x": {"low": 0.1, "high": 0.2}}, "ema is a value, not a section"),
    ],
)
def test_a_faulty_search_is_named_with_what_is_allowed(space: dict, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        with_space(space).check_search()


def test_the_search_space_does_not_change_the_digest_and_survives_toml(tmp_path: Path) -> None:
    recipe = load_recipe("impute")
    assert recipe.tune
    bare = recipe.with_values({})
    assert not bare.tune
    assert bare.digest() == recipe.digest()
    path = tmp_path / "mine.toml"
    path.write_text(recipe.to_toml())
    assert load_recipe(path).tune == recipe.tune


def test_values_are_set_and_checked_together() -> None:
    recipe = load_recipe("impute").with_values({"fit.ema": 0.5, "network.width": 24})
    assert (recipe.fit.ema, recipe.network.width) == (0.5, 24)
    with pytest.raises(RecipeError, match="not divisible"):
        load_recipe("ct").with_values(
            {"fit.patch": [16, 16, 16], "network.blocks": [1, 1, 1, 1, 1, 1]}
        )


def test_a_space_can_be_given_on_the_command_line() -> None:
    recipe = load_recipe("impute", {"tune.fit.flip.low": "0.1", "tune.fit.flip.high": "0.4"})
    assert (recipe.tune["fit.flip"].low, recipe.tune["fit.flip"].high) == (0.1, 0.4)


def test_another_network_may_keep_a_search_that_it_does_not_run() -> None:
    recipe = load_recipe("cyclegan").model_dump(mode="json", exclude={"tune"})
    kept = validate_recipe(
        recipe | {"tune": load_recipe("impute").tune}, origin="cyclegan with the search of impute"
    )
    with pytest.raises(RecipeError, match=r"tune\.network\.width: .*unknown key"):
        kept.check_search()


KEYS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple)


@given(st.lists(KEYS, min_size=1, max_size=4, unique_by=lambda key: key[0]))
def test_nested_and_dotted_keys_are_the_same(keys: list[tuple[str, ...]]) -> None:
    nested: dict = {}
    for key in keys:
        place = nested
        for name in key:
            place = place.setdefault(name, {})
        place |= {"low": 1, "high": 2}
    assert flat_keys(nested) == {".".join(key): {"low": 1, "high": 2} for key in keys}
