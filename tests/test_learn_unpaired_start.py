"""The linear start without pairs against the slope that the images were made with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learn_toys import SHAPE, field, make_visit

from bids_synth.errors import RecipeError
from bids_synth.learn.baselines.baselines import fit_baselines
from bids_synth.learn.baselines.linear import Gramian, gramian_of_means
from bids_synth.learn.data.mean_image import population_of
from bids_synth.learn.networks import build_network, start_linear
from bids_synth.recipe.recipe import load_recipe, validate_recipe

NAMES = ("T1w", "T2w")
SLOPE = -0.35
"""T2w per T1w, both as acquired."""


def recipe_of(network: dict[str, object] | None = None):
    data = load_recipe("cyclegan-structure").model_dump(mode="json")
    data["network"] |= {"filters": 4, "blocks": [1, 1], "knots": 0} | (network or {})
    return validate_recipe(data, origin="toy")


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Two people with a T1w, two others with a T2w; one anatomy, a little noise each."""
    folder = tmp_path_factory.mktemp("unpaired")
    anatomy = field(np.random.default_rng(0), SHAPE, 2.5)
    people = []
    for n, person in enumerate("abcd"):
        noise = 0.01 * np.random.default_rng(n + 1).standard_normal(SHAPE)
        t1 = 800 * (anatomy + noise) + 50
        made = {"T1w": t1, "T2w": SLOPE * t1 + 600}
        people.append(make_visit(folder, person, modalities=(NAMES[n // 2],), images=made))
    return people


def slope(training, source, target):
    """The slope between scaled images that `SLOPE` amounts to."""
    gains = {m: np.mean([p.scales[m].gain for p in training if m in p.scales]) for m in NAMES}
    raw = SLOPE if source == "T1w" else 1 / SLOPE
    return raw * gains[source] / gains[target]


def gramian_of(training) -> Gramian:
    return gramian_of_means(NAMES, population_of(training, NAMES))


def never(*_):
    raise AssertionError


@pytest.mark.parametrize(("source", "target"), [NAMES, NAMES[::-1]])
def test_mean_images_of_strangers_tell_the_slope(training, source, target):
    found = gramian_of(training).solve([source], target)
    assert found[NAMES.index(source)] == pytest.approx(slope(training, source, target), rel=0.05)


def test_both_directions_of_the_network_start_there(training):
    network = build_network(recipe_of())
    start_linear(network, recipe_of(), lambda: gramian_of(training), never)
    images = torch.rand(1, 2, 16, 16, 16)
    with torch.inference_mode():
        made = network(images, torch.ones(1, 2))
    for n, (target, source) in enumerate([NAMES, NAMES[::-1]]):
        weights = gramian_of(training).solve([source], target)
        wanted = weights[1 - n] * images[:, 1 - n] + weights[-1]
        torch.testing.assert_close(made[:, n], wanted.float(), rtol=1e-4, atol=1e-5)


def test_the_linear_baseline_sees_no_pair_even_where_there_are_some(training, tmp_path):
    """Pairs whose T2w is the T1w itself would turn the slope around if they were used."""
    same = 800 * field(np.random.default_rng(0), SHAPE, 2.5) + 50
    misleading = make_visit(tmp_path, "e", modalities=NAMES, images=dict.fromkeys(NAMES, same))
    alone = make_visit(tmp_path, "f", modalities=("T1w",), images={"T1w": same})
    with_pair = fit_baselines(recipe_of(), [*training, *training, misleading])
    assert with_pair.gramian.sums.keys() == {NAMES}
    assert with_pair.distances == {"T1w": {}, "T2w": {}}
    without = fit_baselines(recipe_of(), [*training, alone]).gramian.solve(["T1w"], "T2w")
    assert without[0] == pytest.approx(slope(training, *NAMES), rel=0.05)


def test_a_network_without_a_linear_answer_does_not_ask_for_one():
    recipe = load_recipe("cyclegan")
    with torch.device("meta"):
        start_linear(build_network(recipe), recipe, never, never)
        recipe = load_recipe("mmgan")
        start_linear(build_network(recipe), recipe, never, never)


def test_a_modality_that_nobody_has_gives_an_empty_gramian(training):
    population = population_of([p for p in training if "T1w" in p.images], NAMES)
    assert not gramian_of_means(NAMES, population).sums


def test_a_network_with_a_curve_starts_where_each_source_gets_the_quantiles_of_its_target(
    training,
):
    recipe = recipe_of({"knots": 33})
    network, calls = build_network(recipe), []
    rng = np.random.default_rng(7)
    values = {"T1w": rng.normal(0.4, 0.2, 4000), "T2w": rng.gamma(2, 0.2, 4000)}

    def quantiles(modality, shares):
        calls.append((modality, len(shares)))
        return np.quantile(values[modality], shares)

    start_linear(network, recipe, lambda: gramian_of(training), quantiles)
    assert {count for _, count in calls} == {33}
    images = torch.zeros(1, 2, 16, 16, 16)
    for n, name in enumerate(NAMES):
        drawn = rng.permutation(values[name])[: 15**3]
        images[0, n].view(-1)[: len(drawn)] = torch.from_numpy(drawn)
    with torch.inference_mode():
        made = network(images, torch.ones(1, 2))
    # The slope of the mean images is negative: the brightest T1w becomes the darkest T2w.
    for n, (target, source) in enumerate([NAMES, NAMES[::-1]]):
        found = made[0, n].view(-1)[: 15**3].double().numpy()
        given = images[0, 1 - n].view(-1)[: 15**3].double().numpy()
        rank = given.argsort().argsort() / (len(given) - 1)
        inner = (rank > 0.02) & (rank < 0.98)
        wanted = np.quantile(values[target], 1 - rank)
        assert np.corrcoef(found[inner], given[inner])[0, 1] < -0.8, source
        assert np.abs(found - wanted)[inner].mean() < 0.02


def test_a_curve_is_refused_where_there_are_pairs():
    with pytest.raises(RecipeError, match=r"network\.knots: is for recipes without pairs"):
        load_recipe("ct", {"network.knots": "9"})
