"""Targets whose logarithm is scaled are fitted and selected by their value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from learn_toys import make_visit
from torch import nn

from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import fit_scale
from bids_synth.core.visit import Prepared
from bids_synth.learn.baselines.linear import counted, gram_of
from bids_synth.learn.data.array_cache import open_store
from bids_synth.learn.fit.selection import selection_of
from bids_synth.recipe.recipe import Recipe, load_recipe

SHAPE = (28, 30, 26)
MAPS = ("cbf", "cbv", "T2map", "T2starmap", "cmro2")


class Constant(nn.Module):
    """Answers one scaled value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        return torch.full_like(images[:, :1], self.value)


def visit(folder, recipe: Recipe) -> Prepared:
    """A visit with a CMRO2 of 20 to 200 in all voxels."""
    rng = np.random.default_rng(4)
    images = {name: rng.uniform(0.05, 0.1, SHAPE) for name in MAPS}
    images |= {"cbf": rng.uniform(20, 80, SHAPE), "cbv": rng.uniform(2, 6, SHAPE)}
    images["cmro2"] = rng.uniform(20, 200, SHAPE)
    made = make_visit(folder, "a", modalities=MAPS, images=images)
    scales = {m: fit_scale(MODALITIES[m], np.ones(2), log=True) for m in MAPS}
    assert scales["cmro2"] == recipe.shared_scale("cmro2")
    return replace(made, scales=scales)


def test_least_squares_of_a_logarithm_weigh_by_the_square_of_the_value():
    recipe, rng = load_recipe("cmro2"), np.random.default_rng(1)
    scale = recipe.shared_scale("cmro2")
    value = rng.uniform(2, 200, (9, 9, 9))
    images = {"cbf": rng.random(value.shape), "cmro2": scale.apply(value)}
    mask = (rng.random(value.shape) > 0.3).astype(np.uint8)
    gram = gram_of(("cbf", "cmro2"), images, counted(recipe, images, mask))
    inside = mask > 0
    design = np.stack([images["cbf"][inside], np.ones(inside.sum())], axis=1)
    wanted = np.linalg.lstsq(
        design * value[inside][:, None], images["cmro2"][inside] * value[inside]
    )[0]
    found = np.linalg.solve(gram[np.ix_([0, 2], [0, 2])], gram[[0, 2], 1])
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_images_without_a_logarithm_count_as_the_mask():
    mask = np.arange(8).reshape(2, 2, 2) % 2
    images = {"T1w": np.ones(mask.shape), "T2w": np.full(mask.shape, 3.0)}
    np.testing.assert_array_equal(counted(load_recipe("impute"), images, mask), mask)


def test_weights_are_selected_by_the_error_of_the_value(tmp_path):
    """The best constant is then the mean of the values, not that of their logarithms."""
    recipe = load_recipe("cmro2", {"network.filters": "4"})
    prepared = visit(tmp_path, recipe)
    store = open_store([prepared], MAPS, tmp_path / "work")
    extras = {n: np.zeros(SHAPE, np.float32) for n in recipe.extras.names(recipe.targets)}
    stored = [replace(store[0], extras=extras)]

    def score(real, synthetic, mask):
        return -float(np.mean((real[mask] - synthetic[mask]) ** 2))

    selection = selection_of(recipe, stored, score, torch.device("cpu"))
    scaled = np.linspace(0.6, 0.9, 31)
    best = scaled[int(np.argmax([selection(Constant(float(v))) for v in scaled]))]
    target, inside = np.asarray(stored[0].images["cmro2"]), np.asarray(stored[0].mask) > 0
    values = recipe.shared_scale("cmro2").invert(target[inside].astype(np.float64))
    mean = float(recipe.shared_scale("cmro2").apply(np.array([values.mean()]))[0])
    assert abs(best - mean) < 0.0051 < abs(mean - target[inside].mean())
