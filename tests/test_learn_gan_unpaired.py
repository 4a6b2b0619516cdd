"""Unpaired patches: a pure function of seed and number, drawn for each modality alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from item_oracle import amplify, mirror
from learn_objective_toys import toy_of
from learn_toys import make_visit

from bids_synth.errors import UsageError
from bids_synth.learn.data.array_cache import open_store
from bids_synth.learn.data.patches import cut
from bids_synth.learn.data.unpaired import UnpairedPatches


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("visits")
    made = [
        make_visit(folder, "a", modalities=("T1w", "T2w")),
        make_visit(folder, "a", session="B", modalities=("T1w", "T2w")),
        make_visit(folder, "b", modalities=("T1w",)),
        make_visit(folder, "c", modalities=("T2w",)),
        make_visit(folder, "d", modalities=("T1w", "T2w")),
    ]
    return open_store(made, ("T1w", "T2w"), folder / "work")


def patches_of(stored, **changes):
    return UnpairedPatches(toy_of("cycle-gan"), stored, **{"seed": 1, "total": 600} | changes)


def test_an_item_depends_on_seed_and_number_alone(stored):
    one, other = patches_of(stored), patches_of(stored)
    for index in (0, 5, 599):
        other[(index + 7) % 600]
        first, second = one[index], other[index]
        assert all(torch.equal(first[k], second[k]) for k in first)
    assert len({str(one.draw(row, n)) for n in range(600) for row in range(2)}) == 1200
    assert str(patches_of(stored, seed=2).draw(0, 0)) != str(one.draw(0, 0))


def test_every_participant_with_a_modality_comes_equally_often(stored):
    patches = patches_of(stored)
    for row, people in enumerate(("abd", "acd")):
        drawn = [patches.visits[patches.draw(row, n).visit] for n in range(600)]
        assert Counter(v.participant for v in drawn) == dict.fromkeys(people, 200)
        assert all(patches.recipe.sources[row] in v.present for v in drawn)
    labels = Counter(patches.visits[patches.draw(0, n).visit].label for n in range(600))
    assert min(labels.values()) > 60, "both sessions of a are seen"


def test_the_two_rows_are_drawn_independently(stored):
    """Of nine pairs of participants each is as frequent as chance has it; so is every flip."""
    patches = patches_of(stored)
    drawn = [[patches.draw(row, n) for row in range(2)] for n in range(600)]
    people = [tuple(patches.visits[half.visit].participant for half in two) for two in drawn]
    counts = Counter(people)
    assert len(counts) == 9
    expected = 600 / 9
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 26.1, "chi2(8), 0.001"
    flips = Counter(tuple(half.change.flip for half in two) for two in drawn)
    assert min(flips.values()) > 100
    assert len({half.start for two in drawn for half in two}) > 50


def test_an_item_is_what_its_draws_say(stored):
    patches = patches_of(stored)
    for index in range(20):
        item = patches[index]
        assert item["sources"].shape == item["mask"].shape == (2, 16, 16, 16)
        for row, modality in enumerate(("T1w", "T2w")):
            half = patches.draw(row, index)
            visit = patches.visits[half.visit]
            whole = cut(visit.images[modality], half.start, (16, 16, 16))
            louder = amplify(whole[None], [half.change.gains[row]])[0]
            np.testing.assert_array_equal(item["sources"][row], mirror(louder, half.change))
            mask = mirror(cut(visit.mask, half.start, (16, 16, 16)), half.change)
            np.testing.assert_array_equal(item["mask"][row], mask)
            assert not item["sources"][row][mask == 0].any()


def test_a_modality_that_nobody_has_is_an_error(stored):
    with pytest.raises(UsageError, match="no training visit has a T2w"):
        patches_of([v for v in stored if v.present == ("T1w",)])
