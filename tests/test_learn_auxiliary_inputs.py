"""Maps beside the sources: nobody is shown a mean that holds their own image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from learn_toys import images_of, make_visit, toy_recipe

from bids_synth.core.visit import Prepared
from bids_synth.learn.baselines.linear import add_grams, gram_of, gramian_of_inputs
from bids_synth.learn.data.array_cache import open_store, scaled_image
from bids_synth.learn.data.auxiliary_inputs import (
    AuxiliaryInputs,
    auxiliary_inputs_of,
    auxiliary_names,
)
from bids_synth.physics import formulas as physics
from bids_synth.physics.visit_maps import compute
from bids_synth.recipe.recipe import Recipe, load_recipe, validate_recipe
from bids_synth.spatial.volume import read_mask

PEOPLE = "abcdef"


def recipe_with(**extras: object) -> Recipe:
    data = toy_recipe().model_dump(mode="json")
    data["modalities"] = {"T1w": "source", "T2w": "target"}
    data["extras"] |= extras
    return validate_recipe(data, origin="toy with extras")


def visits(folder: Path) -> list[Prepared]:
    made = [make_visit(folder, p, modalities=("T1w", "T2w")) for p in PEOPLE]
    sites = dict(zip(PEOPLE, "xxyyz ", strict=True))
    return [
        replace(p, visit=replace(p.visit, traits={"site": sites[p.visit.participant]}))
        for p in made
    ]


def mean_of(extras: AuxiliaryInputs, prepared: Prepared) -> np.ndarray:
    mask = read_mask(prepared.mask).array
    return np.asarray(extras.maps(prepared, mask)["mean-T2w"])


def test_ones_own_image_never_enters_ones_mean(tmp_path: Path) -> None:
    recipe, usual = recipe_with(mean=True), visits(tmp_path / "usual")
    rng = np.random.default_rng(9)
    other = images_of(rng, (28, 30, 26))
    changed = list(usual)
    changed[0] = replace(
        make_visit(tmp_path / "other", "a", modalities=("T1w", "T2w"), images=other),
        scales=usual[0].scales,
    )
    before, after = (auxiliary_inputs_of(recipe, training) for training in (usual, changed))
    assert before is not None
    assert after is not None
    # a and f are of one group; b is of another and is shown the mean of both.
    np.testing.assert_allclose(mean_of(before, usual[0]), mean_of(after, usual[0]), atol=1e-6)
    np.testing.assert_allclose(mean_of(before, usual[5]), mean_of(after, usual[5]), atol=1e-6)
    assert np.abs(mean_of(before, usual[1]) - mean_of(after, usual[1])).max() > 0.01


def test_a_stranger_is_shown_the_mean_of_all(tmp_path: Path) -> None:
    training = visits(tmp_path)
    stranger = make_visit(tmp_path, "q", modalities=("T1w",))
    extras = auxiliary_inputs_of(recipe_with(mean=True), training)
    assert extras is not None
    mask = read_mask(stranger.mask).array
    images = [scaled_image(p, "T2w", mask) for p in training]
    inner = np.zeros_like(mask)
    inner[8:20, 8:22, 8:18] = 1
    found, wanted = mean_of(extras, stranger), np.mean(images, axis=0)
    # The population lies on a 4 mm grid of its own, so that fine detail is smoothed.
    assert np.corrcoef(found[inner > 0], wanted[inner > 0])[0, 1] > 0.9


def test_scalars_are_constant_maps_and_unknown_values_are_zero(tmp_path: Path) -> None:
    recipe = recipe_with(scalars={"site": {"x": 1.0, "y": -2.0}})
    extras = auxiliary_inputs_of(recipe, visits(tmp_path))
    assert extras is not None
    values = {}
    for prepared in visits(tmp_path):
        array = extras.maps(prepared, read_mask(prepared.mask).array)["scalar-site"]
        assert np.ptp(array) == 0
        values[prepared.visit.participant] = float(array.flat[0])
    assert values == {"a": 1, "b": 1, "c": -2, "d": -2, "e": 0, "f": 0}


def test_stored_maps_are_those_that_were_made(tmp_path: Path) -> None:
    recipe, training = recipe_with(mean=True, scalars={"site": {"x": 1.0}}), visits(tmp_path)
    extras = auxiliary_inputs_of(recipe, training)
    for stored, prepared in zip(
        open_store(training, ("T1w", "T2w"), tmp_path / "w", extras), training, strict=True
    ):
        assert extras is not None
        wanted = extras.maps(prepared, np.asarray(stored.mask))
        assert stored.extras.keys() == wanted.keys() == {"mean-T2w", "scalar-site"}
        for name, array in wanted.items():
            np.testing.assert_allclose(stored.extras[name], array, atol=2e-3)


def test_the_linear_answer_from_the_mean_alone_is_no_worse_than_the_mean(tmp_path: Path) -> None:
    recipe, training = recipe_with(mean=True), visits(tmp_path)
    stored = open_store(
        training, ("T1w", "T2w"), tmp_path / "w", auxiliary_inputs_of(recipe, training)
    )
    table = gramian_of_inputs(recipe, stored).table(recipe.inputs, recipe.targets)
    weights = table[2, 0]  # Only the mean is given.
    errors = {"mean": 0.0, "linear": 0.0}
    for visit in stored:
        inside = np.asarray(visit.mask) > 0
        mean, real = (
            np.asarray(a, np.float64)[inside]
            for a in (visit.extras["mean-T2w"], visit.images["T2w"])
        )
        errors["mean"] += float(((mean - real) ** 2).sum())
        errors["linear"] += float(((weights[1] * mean + weights[-1] - real) ** 2).sum())
    assert weights[0] == 0
    assert errors["linear"] <= errors["mean"]


@pytest.mark.parametrize(
    ("sources", "wanted"),
    [
        (("cbf", "cbv", "T2map", "T2starmap"), ["closed-r2prime", "closed-cmro2"]),
        (("cbf", "T2map", "T2starmap"), ["closed-r2prime"]),
        (("cbf", "cbv", "T2map"), []),
    ],
)
def test_a_closed_form_is_shown_only_with_all_that_it_needs(
    sources: tuple[str, ...], wanted: list[str]
) -> None:
    assert auxiliary_names(load_recipe("cmro2"), sources) == wanted


def test_the_closed_form_of_a_visit_is_that_of_its_maps(tmp_path: Path) -> None:
    shape, rng = (28, 30, 26), np.random.default_rng(5)
    maps = {
        "cbf": rng.uniform(20, 80, shape),
        "cbv": rng.uniform(2, 6, shape),
        "T2map": rng.uniform(0.07, 0.1, shape),
        "T2starmap": rng.uniform(0.04, 0.06, shape),
    }
    prepared = make_visit(tmp_path, "a", modalities=tuple(maps), images=maps)
    prepared = replace(prepared, visit=replace(prepared.visit, traits={"O2sat": "97", "Hct": "n"}))
    mask = read_mask(prepared.mask).array
    found = compute("cmro2", prepared, mask)
    rate = 1 / maps["T2starmap"] - 1 / maps["T2map"]
    content = physics.arterial_oxygen(42.0, 97.0) / 100
    factor = physics.blood_frequency(42.0) * maps["cbv"] / 100
    plain = maps["cbf"] / 0.75 * np.minimum(rate / factor, 1) * content
    inside = mask > 0
    np.testing.assert_allclose(found[inside], plain[inside], rtol=1e-4)
    assert not found[~inside].any()


def test_the_linear_answer_is_a_line_of_the_closed_form_where_that_is_given() -> None:
    names, rng = ("cbf", "cbv", "cmro2", "closed-cmro2"), np.random.default_rng(6)
    images = {name: rng.random((8, 8, 8)) for name in names}
    images["cmro2"] = 0.9 * images["closed-cmro2"] + 0.05 + 0.3 * images["cbf"]
    gramian = add_grams(names, [(names, gram_of(names, images, np.ones((8, 8, 8))))])
    sources = ("cbf", "cbv", "closed-cmro2")
    table = gramian.table(sources, ["cmro2"])[:, 0]
    slope, level = np.polyfit(images["closed-cmro2"].ravel(), images["cmro2"].ravel(), 1)
    np.testing.assert_allclose(table[7], [0, 0, slope, level], atol=1e-5)
    assert table[3, :2].all()
    assert table[3, 2] == 0
