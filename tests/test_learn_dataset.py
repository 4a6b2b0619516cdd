"""Patches are a pure function of seed and number, from arrays made once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from item_oracle import amplify, mirror
from learn_toys import make_visit, toy_recipe
from torch.utils.data import DataLoader

from bids_synth.errors import UsageError
from bids_synth.learn.data.array_cache import open_store
from bids_synth.learn.data.dataset import Patches, own_items
from bids_synth.learn.data.patches import cut
from bids_synth.recipe.recipe import validate_recipe
from bids_synth.spatial.volume import read_mask, read_volume


@pytest.fixture(scope="module")
def visits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("visits")
    made = [
        make_visit(folder, "a"),
        make_visit(folder, "a", session="B"),
        make_visit(folder, "b", modalities=("T1w", "T2w")),
        make_visit(folder, "c", modalities=("T1w",)),
    ]
    recipe = toy_recipe()
    return made, open_store(made, tuple(recipe.modalities), folder / "work"), recipe, folder


def test_the_store_holds_scaled_images_and_zero_outside(visits):
    made, stored, _, _ = visits
    for prepared, arrays in zip(made, stored, strict=True):
        mask = read_mask(prepared.mask).array > 0
        for modality, image in arrays.images.items():
            real = prepared.scales[modality].apply(read_volume(prepared.images[modality]).array)
            np.testing.assert_allclose(np.asarray(image)[mask], real[mask], atol=2e-3)
            assert not np.asarray(image)[~mask].any()
        assert len(arrays.centres) == mask.sum()


def test_the_store_is_written_once(visits, tmp_path):
    made, _, recipe, folder = visits
    for prepared in made:
        assert prepared.images
    before = {p: p.stat().st_mtime_ns for p in (folder / "work").rglob("*.npy")}
    open_store(made, tuple(recipe.modalities), folder / "work")
    after = {p: p.stat().st_mtime_ns for p in (folder / "work").rglob("*.npy")}
    assert before == after
    assert not list((folder / "work").rglob(".part-*"))


def test_a_patch_depends_on_seed_and_number_alone(visits):
    _, stored, recipe, _ = visits
    one, other = (Patches(recipe, stored, seed=3, total=400) for _ in range(2))
    for index in (0, 7, 399):
        other[(index + 5) % 400]
        first, second = one[index], other[index]
        assert all(torch.equal(first[k], second[k]) for k in first)
    drawn = {str(one.draw(i)) for i in range(400)}
    assert len(drawn) == 400
    changed = Patches(recipe, stored, seed=4, total=400)
    assert str(changed.draw(0)) != str(one.draw(0))


def test_participants_come_equally_often_whatever_their_sessions(visits):
    _, stored, recipe, _ = visits
    patches = Patches(recipe, stored, seed=1, total=400)
    people = Counter(patches.visits[patches.draw(i).visit].participant for i in range(400))
    assert people == {"a": 200, "b": 200}, "c has a single image and teaches nothing"


def test_an_item_is_what_its_draw_says(visits):
    _, stored, recipe, _ = visits
    patches = Patches(recipe, stored, seed=1, total=100)
    for index in range(30):
        draw, item = patches.draw(index), patches[index]
        visit = patches.visits[draw.visit]
        for row, modality in enumerate(recipe.sources):
            shown = modality in draw.scenario.sources
            assert float(item["available"][row]) == shown
            assert bool(item["sources"][row].any()) == shown
            assert bool(item["scored"][row]) == (modality in draw.scenario.scored)
            if shown:
                whole = mirror(cut(visit.images[modality], draw.start, (16, 16, 16)), draw.change)
                expected = amplify(whole[None], [draw.change.gains[row]])[0]
                np.testing.assert_array_equal(item["sources"][row].numpy(), expected)
        assert item["mask"].any()


def test_physical_units_keep_their_gain(visits):
    _, stored, recipe, _ = visits
    data = recipe.model_dump(mode="json")
    data["modalities"] = {"ct": "source", "T1w": "either", "T2w": "either"}
    quantitative = validate_recipe(data, origin="test")
    gains = [Patches(quantitative, stored, seed=1, total=9).draw(i).change.gains for i in range(9)]
    assert {g[0] for g in gains} == {1.0}
    assert len({g[1] for g in gains}) == 9


def test_epochs_number_their_items_on_and_workers_change_nothing(visits):
    _, stored, recipe, _ = visits
    patches = Patches(recipe, stored, seed=1, total=12)
    assert list(own_items(12, done=8)) == [8, 9, 10, 11]
    loader = DataLoader(patches, 2, sampler=own_items(12, done=8))
    items = [b["sources"] for b in loader]
    expected = torch.stack([patches[8]["sources"], patches[9]["sources"]])
    assert torch.equal(items[0], expected)


def test_visits_that_teach_nothing_are_an_error(visits):
    _, stored, recipe, _ = visits
    with pytest.raises(UsageError, match="no training visit has a target"):
        Patches(recipe, stored[3:], seed=1, total=4)
