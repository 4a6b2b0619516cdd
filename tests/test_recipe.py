"""Recipes: every shipped one is valid, and a faulty one is explained key by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_synth.errors import RecipeError
from bids_synth.recipe.recipe import load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_survives_its_own_toml(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    path = tmp_path / "copy.toml"
    path.write_text(recipe.to_toml())
    assert load_recipe(path) == recipe
    assert load_recipe(path).digest() == recipe.digest()


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"fit.stepz": "10"}, r"fit\.stepz: unknown key; allowed: .*steps"),
        ({"colour": "1"}, "colour: unknown key; allowed: version, name"),
        ({"fit.steps": "0"}, r"fit\.steps: .*at least 1"),
        ({"network.name": "transformer"}, r"network\.name: .*residual-unet"),
        ({"modalities.T9w": "either"}, r"unknown T9w; allowed: T1w"),
        ({"modalities.T1w": "both"}, "'either', 'source', 'target' or 'reference'"),
        ({"fit.patch": "[60, 64, 64]"}, "multiple of 8"),
        ({f"objective.{k}": "0" for k in ("l1", "l2", "ssim")}, "at least one must be positive"),
        ({"preparation.reference": '["ct"]'}, "no sources of the recipe"),
        ({"minimum": "9"}, "exceeds the 4 sources"),
        ({"version": "2"}, "version: "),
        ({"name.x": "1"}, "name is a value, not a section"),
    ],
)
def test_a_faulty_value_is_named_with_what_is_allowed(
    overrides: dict[str, str], told: str
) -> None:
    with pytest.raises(RecipeError, match=told):
        load_recipe("impute", overrides)


def test_a_patch_that_the_levels_cannot_halve_is_refused() -> None:
    values = {"network.blocks": "[1,1,1,1,1,1]", "fit.patch": "[16,16,16]"}
    with pytest.raises(RecipeError, match="not divisible"):
        load_recipe("ct", values)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(RecipeError, match=r"(?s)(\n  - .*){3}"):
        load_recipe("impute", {"fit.stepz": "1", "fit.steps": "-1", "missing.ramp": "7"})


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"known: cmro2, .*impute"):
        load_recipe("nonsense")


def test_broken_toml_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("version = = 1")
    with pytest.raises(RecipeError, match=r"mine\.toml: is not valid TOML"):
        load_recipe(path)


def test_limited_to_keeps_order_and_roles() -> None:
    recipe = load_recipe("impute").limited_to(["FLAIR", "T1w"])
    assert recipe.modalities == {"T1w": "either", "FLAIR": "either"}
    with pytest.raises(RecipeError, match="at least two"):
        load_recipe("impute").limited_to(["T1w"])


def test_preparation_parameters_change_only_with_the_preparation() -> None:
    plain = load_recipe("impute")
    longer = load_recipe("impute", {"fit.steps": "7"})
    coarser = load_recipe("impute", {"grid.spacing": "2"})
    assert plain.preparation_parameters() == longer.preparation_parameters()
    assert plain.preparation_parameters() != coarser.preparation_parameters()
    assert plain.digest() != longer.digest()


@pytest.mark.parametrize("key", ["fit.curve", "fit.noise"])
def test_sources_are_not_bent_where_every_image_is_a_target_too(key: str) -> None:
    with pytest.raises(RecipeError, match="no pairs"):
        load_recipe("cyclegan-structure", {key: "0.1"})


def test_white_matter_is_not_looked_for_in_a_whole_head() -> None:
    with pytest.raises(RecipeError, match="set mask to brain"):
        load_recipe("impute", {"preparation.mask": "head"})
