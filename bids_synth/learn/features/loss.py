"""Feature loss: what a recipe's objective compares images by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bids_synth.errors import RecipeError
from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.features.segmenter import kept_segmenter, target_samples
from bids_synth.learn.features.supplied import FeatureNetwork, load_features
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.objective import PairedLosses

THRESHOLDS = "thresholds"
"""Name of the segmenter in `features_from`; anything else is a path."""


class SuppliedFeatures(nn.Module):
    """The maps of every volume or axial slice, each position's vector of length 1 as in LPIPS."""

    def __init__(self, network: FeatureNetwork) -> None:
        super().__init__()
        # In a list its weights stay out of the state of a fit, which is written every epoch.
        self._network = [network]

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """(M, 1, I, J, K) -> maps (M, F, i, j, k) or (M K, F, i, j) of every kept layer."""
        (network,) = self._network
        network.module.to(image.device)
        if not network.volumes:
            image = image.permute(0, 4, 1, 2, 3).flatten(0, 1)
        return [nn.functional.normalize(maps, dim=1) for maps in network.see(image)]


def features_of(
    recipe: Recipe, training: Sequence[Stored], path: Path, *, key: str, seed: int
) -> nn.Module | None:
    """What the recipe's objective compares images by; None where it weighs no features.

    `path` is where a segmenter is kept. Raises ModelError for a file that cannot be used,
    RecipeError for slices that its network cannot see and UsageError for no training targets.
    """
    asked = asked_features(recipe)
    if asked is None:
        return None
    if asked == THRESHOLDS:
        return kept_segmenter(recipe, training, path, key=key, seed=seed)
    network = _supplied(recipe, Path(asked))
    values = np.concatenate([*target_samples(recipe, training).values()])
    return SuppliedFeatures(network.standardised(values))


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
    _supplied(recipe, Path(asked))
    return hashlib.sha256(Path(asked).read_bytes()).hexdigest()


def _supplied(recipe: Recipe, path: Path) -> FeatureNetwork:
    """The network of a file; RecipeError where it sees volumes and the patches are slices."""
    network = load_features(path)
    if network.volumes and recipe.fit.patch[2] == 1:
        message = (
            f"objective.features_from: {path} is MedicalNet, which sees volumes, and fit.patch is "
            f"{list(recipe.fit.patch)}; take VGG16 for slices"
        )
        raise RecipeError(message)
    return network
