"""What a fit begins with is a candidate: no fit ends below it on validation participants."""

from __future__ import annotations

from itertools import count

import pytest
import torch
from learn_toys import make_visit, minus_error, toy_recipe, toy_split

from bids_synth.learn.fit.fit import fit_model

PEOPLE = "abce"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    return [make_visit(folder, p, shape=(20, 20, 20)) for p in PEOPLE]


def fitted(prepared, folder, score, **options):
    return fit_model(
        toy_recipe(steps=4, steps_per_epoch=2),
        prepared,
        toy_split(training="abc"),
        score,
        folder=folder / "models",
        work=folder / "work",
        seed=1,
        device="cpu",
        quiet=True,
        **options,
    )


def falling():
    """A score by which every look is worse than the one before."""
    numbers = count()
    return lambda *_: -float(next(numbers))


def rising():
    """A score by which every look is better than the one before."""
    numbers = count()
    return lambda *_: float(next(numbers))


def tensors(model):
    return model.networks()[0].state_dict()


def test_a_fit_that_only_harms_keeps_the_linear_answer(prepared, tmp_path):
    model = fitted(prepared, tmp_path, falling())
    (entry,) = model.card.weights
    assert entry.epoch == -1
    (network,) = model.networks()
    known = torch.ones(1, 3)
    known[0, 1] = 0
    images = torch.rand(1, 3, 16, 16, 16)
    images[:, 1] = 0
    made = network(images, known)
    # A linear answer knows no neighbours: voxels in another order are answered in that order.
    order = torch.randperm(16**3)
    mixed = images.flatten(2)[..., order].view_as(images)
    expected = made.flatten(2)[..., order].view_as(made)
    assert torch.allclose(network(mixed, known), expected, atol=1e-5)


def test_a_fit_that_helps_keeps_its_last_weights(prepared, tmp_path):
    model = fitted(prepared, tmp_path, rising())
    assert [w.epoch for w in model.card.weights] == [1]


def test_a_model_that_is_fitted_on_is_kept_where_that_does_not_help(prepared, tmp_path):
    first = fitted(prepared, tmp_path / "first", minus_error)
    again = fitted(prepared, tmp_path / "again", falling(), init_from=first.folder)
    assert [w.epoch for w in again.card.weights] == [-1]
    old, new = tensors(first), tensors(again)
    assert all(torch.equal(old[name], new[name]) for name in old)
