"""Batches of tensors are the items that numpy makes one by one, wherever the arrays lie."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from item_oracle import patch_item, point_item, unpaired_item
from learn_objective_toys import toy_of
from learn_toys import make_visit, toy_recipe

from bids_synth.learn.data.array_cache import open_store
from bids_synth.learn.data.auxiliary_inputs import auxiliary_inputs_of
from bids_synth.learn.data.batches import ahead, batches, home_of, moved, size_of
from bids_synth.learn.data.dataset import Patches, own_items, shuffled
from bids_synth.learn.data.points import Points
from bids_synth.learn.data.unpaired import UnpairedPatches
from bids_synth.recipe.recipe import Recipe, load_recipe, validate_recipe

CPU = torch.device("cpu")


def patch_recipe() -> Recipe:
    """Bent sources, two scored images, extras of both kinds, patches that stick out."""
    data = toy_recipe().model_dump(mode="json")
    data["modalities"] = {"T1w": "either", "T2w": "either", "PDw": "target"}
    data["fit"] |= {"curve": 0.3, "noise": 0.1, "intensity": 0.2, "patch": [16, 32, 24]}
    data["extras"] |= {"mean": True, "scalars": {"site": {"x": 1.0}}}
    return validate_recipe(data, origin="batches")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Name -> items, and the oracle of one draw."""
    folder = tmp_path_factory.mktemp("visits")
    lacking = [("T1w", "T2w", "PDw"), ("T1w", "T2w"), ("T2w", "PDw"), ("T1w", "T2w", "PDw")]
    people = [
        make_visit(folder, p, modalities=m, shape=(20, 22, 24))
        for p, m in zip("abcd", lacking, strict=True)
    ]
    people[0] = replace(people[0], visit=replace(people[0].visit, traits={"site": "x"}))
    recipe, names = patch_recipe(), ("T1w", "T2w", "PDw")
    extras = auxiliary_inputs_of(recipe, people)
    stored = open_store(people, names, folder / "work", extras)
    plain = open_store(people, names, folder / "work")
    pointwise = load_recipe(
        "impute", {"network.copies": "2", "fit.curve": "0.2", "network.voxels": "64"}
    ).limited_to(names)
    unpaired = toy_of("cycle-gan", intensity=0.3)
    return {
        "patches": (Patches(recipe, stored, seed=1, total=500), patch_item),
        "unpaired": (UnpairedPatches(unpaired, plain, seed=1, total=500), unpaired_item),
        "points": (Points(pointwise, plain, seed=1, total=500), point_item),
    }


@pytest.mark.parametrize("name", ["patches", "unpaired", "points"])
@given(numbers=st.lists(st.integers(0, 499), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_a_batch_is_its_items_made_by_numpy_one_by_one(
    sets: dict[str, tuple[Patches, Callable]], name: str, numbers: list[int]
) -> None:
    items, oracle = sets[name]
    draws = items.draws(numbers)
    batch = items.apply(draws)
    for n, draw in enumerate(draws):
        wanted = oracle(items, draw)
        assert wanted.keys() == batch.keys()
        for key, array in wanted.items():
            found = batch[key][n].numpy()
            assert found.dtype == array.dtype
            assert found.shape == array.shape
            np.testing.assert_allclose(found, array, rtol=2e-7, atol=1e-7, err_msg=key)


@given(
    start=st.tuples(*[st.integers(-20, 30)] * 3), flip=st.booleans(), number=st.integers(0, 499)
)
@settings(max_examples=40, deadline=None)
def test_windows_beyond_every_edge(sets, start, flip, number) -> None:
    items, oracle = sets["patches"]
    (draw,) = items.draws([number])
    draw = replace(draw, start=start, change=replace(draw.change, flip=flip))
    batch, wanted = items.apply([draw]), oracle(items, draw)
    for key, array in wanted.items():
        np.testing.assert_allclose(batch[key][0].numpy(), array, rtol=2e-7, atol=1e-7)


def test_what_the_sets_show_covers_what_they_can(sets) -> None:
    items, _ = sets["patches"]
    draws = items.draws(range(100))
    batch = items.apply(draws)
    assert 0 < batch["available"].mean() < 1
    assert batch["sources"][:, items.recipe.inputs.index("scalar-site")].any()
    assert any(d.change.flip for d in draws)
    assert all(d.change.bends for d in draws)


def test_batches_come_in_order_and_as_each_process_draws_them(sets) -> None:
    items, _ = sets["patches"]
    own = own_items(40, done=8, batch=2, rank=1, ranks=2)
    found = list(islice(batches(items, own, 2, CPU), 3))
    for batch, numbers in zip(found, ([10, 11], [14, 15], [18, 19]), strict=True):
        wanted = items.apply(items.draws(numbers))
        assert all(torch.equal(batch[key], wanted[key]) for key in wanted)


def test_a_fault_comes_where_its_batch_would_have_come() -> None:
    def prepare(group: list[int]) -> list[int]:
        if group == [2]:
            message = "no such patch"
            raise OSError(message)
        return group

    made = ahead(iter([[0], [1], [2], [3]]), prepare, lambda group: {"n": torch.tensor(group)})
    assert [int(next(made)["n"]) for _ in range(2)] == [0, 1]
    with pytest.raises(OSError, match="no such patch"):
        next(made)


@given(size=st.floats(0, 1e12), free=st.floats(0, 1e12))
def test_arrays_lie_on_a_card_only_where_half_of_it_stays_free(size: float, free: float) -> None:
    card = torch.device("cuda", 1)
    assert home_of(size, CPU, free) == CPU
    assert home_of(size, card, free) == (card if 2 * size <= free else CPU)


def test_a_spread_value_takes_and_moves_one_value() -> None:
    spread = torch.tensor(2.0).expand(4, 5, 6)
    assert size_of([spread, torch.zeros(3, dtype=torch.float16)]) == 4 + 6
    there = moved(spread, CPU)
    assert torch.equal(there, spread)
    assert not any(there.stride())


@pytest.mark.parametrize("name", ["patches", "unpaired", "points"])
def test_a_batch_is_made_where_its_arrays_lie(sets, name: str) -> None:
    """On a device without memory, which meets no tensor of another one."""
    items, nowhere = copy(sets[name][0]), torch.device("meta")
    draws = items.draws(range(6))
    wanted = items.apply(draws)
    items.keep_on(nowhere)
    found = items.apply(draws)
    for key, tensor in wanted.items():
        assert found[key].device == nowhere
        assert (found[key].shape, found[key].dtype) == (tensor.shape, tensor.dtype)


@given(seed=st.integers(0, 2**31), passed=st.integers(0, 99), count=st.integers(1, 40))
def test_an_order_is_that_of_its_seed(seed: int, passed: int, count: int) -> None:
    wanted = np.random.default_rng([seed, 0, passed]).permutation(count)
    for _ in range(2):
        np.testing.assert_array_equal(shuffled((seed, 0, passed), count), wanted)
