"""Slice features: a supplied network of slices as a loss between volumes sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.features.extractor import FeatureNetwork, load_features
from bids_synth.learn.features.segmenter import kept_segmenter
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.objective import PairedLosses

THRESHOLDS = "thresholds"
"""Name of the segmenter in `features_from`; anything else is a path."""


class SliceFeatures(nn.Module):
    """The maps of every axial slice, each position's vector scaled to length 1 as in LPIPS."""

    def __init__(self, network: FeatureNetwork) -> None:
        super().__init__()
        # In a list its weights stay out of the state of a fit, which is written every epoch.
        self._network = [network]

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """(M, 1, I, J, K) -> maps (M K, F, i, j) of every kept layer, with gradients."""
        m, _, i, j, k = image.shape
        slices = image.permute(0, 4, 1, 2, 3).reshape(m * k, 1, i, j)
        for convolution in self._network[0].convolutions:
            convolution.to(image.device)
        return [nn.functional.normalize(maps, dim=1) for maps in self._network[0].see(slices)]


def features_of(
    recipe: Recipe, training: Sequence[Stored], path: Path, *, key: str, seed: int
) -> nn.Module | None:
    """What the recipe's objective compares images by; None where it weighs no features.

    `path` is where a segmenter is kept. Raises ModelError for a file that cannot be used.
    """
    asked = asked_features(recipe)
    if asked is None:
        return None
    if asked == THRESHOLDS:
        return kept_segmenter(recipe, training, path, key=key, seed=seed)
    return SliceFeatures(load_features(Path(asked)))


def asked_features(recipe: Recipe) -> str | None:
    """`features_from` where the objective weighs features, else None."""
    losses = recipe.objective
    weighs = isinstance(losses, PairedLosses) and losses.features > 0
    return losses.features_from if weighs and isinstance(losses, PairedLosses) else None


def features_digest(recipe: Recipe) -> str:
    """Changes where the weights of a supplied network do; empty where no features are weighed."""
    asked = asked_features(recipe)
    if asked is None or asked == THRESHOLDS:
        return asked or ""
    load_features(Path(asked))
    return hashlib.sha256(Path(asked).read_bytes()).hexdigest()
