"""Augment: bends are rising curves that keep 0 and 1, and noise that can be drawn again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from item_oracle import bent as bent_alone

from bids_synth.learn.data.augment import KNOTS, Bend, bent, draw_bends
from bids_synth.recipe.recipe import load_recipe

RECIPE = load_recipe("impute", {"fit.curve": "0.3", "fit.noise": "0.1"})
VALUES: np.ndarray = np.linspace(-2, 8, 400).reshape(20, 20, 1)


def bent_of(image: np.ndarray, bend: Bend, inside: np.ndarray) -> np.ndarray:
    tensors = torch.tensor(image, dtype=torch.float32)[None], [bend], torch.tensor(inside)
    return bent(*tensors)[0].numpy()


@given(st.integers(0, 2**31))
def test_many_images_are_bent_as_each_alone_by_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 4, (4, 6, 5, 4)).astype(np.float32)
    images[:, :2] = rng.choice(np.array([*KNOTS, *-KNOTS, 9.0, -20.0]), (4, 2, 5, 4))
    inside = (rng.random((6, 5, 4)) > 0.3).astype(np.float32)
    bends = [*draw_bends(RECIPE, rng)[:3], Bend((), 0.0, 1)]
    found = bent(torch.tensor(images), bends, torch.tensor(inside)).numpy()
    wanted = [bent_alone(image, bend, inside) for image, bend in zip(images, bends, strict=True)]
    np.testing.assert_allclose(found, np.stack(wanted), rtol=2e-7, atol=1e-7)


@given(st.integers(0, 2**31))
def test_a_bend_rises_and_keeps_0_and_1(seed: int) -> None:
    for bend in draw_bends(RECIPE, np.random.default_rng(seed)):
        plain = replace(bend, noise=0.0)
        image = bent_of(VALUES, plain, np.ones(VALUES.shape)).ravel()
        assert (np.diff(image) > 0).all()
        at = bent_of(np.array([0.0, 1.0]), plain, np.ones(2))
        np.testing.assert_allclose(at, [0, 1], atol=1e-6)
        noisy = bent_of(VALUES, bend, np.ones(VALUES.shape)).ravel()
        assert abs((noisy - image).std() - bend.noise) < 0.2 * bend.noise + 1e-3
        again = bent_of(VALUES, bend, np.ones(VALUES.shape)).ravel()
        np.testing.assert_array_equal(noisy, again)


@given(st.integers(0, 2**31))
def test_what_lies_outside_stays_0(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inside = rng.random(VALUES.shape) > 0.5
    for bend in draw_bends(RECIPE, rng):
        assert (bent_of(VALUES * inside, bend, inside)[~inside] == 0).all()


def test_quantities_keep_their_values() -> None:
    recipe = load_recipe("cmro2", {"fit.curve": "0.3", "fit.noise": "0.1"})
    for bend in draw_bends(recipe, np.random.default_rng(0)):
        np.testing.assert_allclose(bent_of(VALUES, bend, np.ones(VALUES.shape)), VALUES, rtol=1e-6)
    assert draw_bends(load_recipe("impute"), np.random.default_rng(0)) == ()
    assert KNOTS[0] == 0
