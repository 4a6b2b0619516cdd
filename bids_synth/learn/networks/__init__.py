"""Networks by the name that recipes use; a new one is one more file and one more line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from bids_synth.learn.networks.residual_unet import ResidualUNet
from bids_synth.recipe import Recipe

NETWORKS: dict[str, Callable[..., nn.Module]] = {"residual-unet": ResidualUNet}
"""Name -> class, called with the numbers of sources and targets and the recipe's keys."""


def network_parameters(recipe: Recipe) -> dict[str, Any]:
    """What the network of a recipe is built from."""
    own = recipe.network.model_dump(mode="json", exclude={"name"})
    return {"sources": len(recipe.inputs), "targets": len(recipe.targets), **own}


def build_network(recipe: Recipe) -> nn.Module:
    """A network with fresh weights from torch's current random state."""
    return NETWORKS[recipe.network.name](**network_parameters(recipe))


def laid_out(network: nn.Module, recipe: Recipe) -> nn.Module:
    """The network with its weights in the memory layout that its convolutions run best in."""
    layout = torch.channels_last if recipe.dimension == "2D" else torch.channels_last_3d
    placed: nn.Module = network.to(memory_format=layout)  # type: ignore[call-overload]
    return placed
