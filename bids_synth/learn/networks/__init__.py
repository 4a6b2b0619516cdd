"""Networks by the name that recipes use; a new one is one more file and one more line."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from bids_synth.learn.networks.residual_unet import ResidualUNet
from bids_synth.recipe import Recipe

NETWORKS: dict[str, Callable[..., nn.Module]] = {"residual-unet": ResidualUNet}
"""Name -> class, called with sources, targets, filters and blocks."""


def network_parameters(recipe: Recipe) -> dict[str, object]:
    """What the network of a recipe is built from."""
    return {
        "sources": len(recipe.sources),
        "targets": len(recipe.targets),
        "filters": recipe.network.filters,
        "blocks": list(recipe.network.blocks),
    }


def build_network(recipe: Recipe) -> nn.Module:
    """A network with fresh weights from torch's current random state."""
    return NETWORKS[recipe.network.name](**network_parameters(recipe))
