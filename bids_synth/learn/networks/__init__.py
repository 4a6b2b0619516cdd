"""Networks by the name that recipes use; a new one is one more file and one more line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from bids_synth.learn.networks.excitation_unet import ExcitationUNet
from bids_synth.learn.networks.pix2pix_unet import Pix2PixUNet
from bids_synth.learn.networks.residual_unet import ResidualUNet
from bids_synth.learn.networks.residual_unet3d import ResidualUNet3D
from bids_synth.learn.networks.resnet2d import ResNet2D
from bids_synth.learn.networks.two_way import TwoWay
from bids_synth.learn.networks.unet2d import UNet2D
from bids_synth.recipe import Recipe

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "residual-unet": ResidualUNet,
    "unet-2d": UNet2D,
    "pix2pix-unet": Pix2PixUNet,
    "resnet-2d": ResNet2D,
    "attention-unet": ResidualUNet3D,
    "excitation-unet": ExcitationUNet,
}
"""Name -> class, called with the numbers of sources and targets and the recipe's keys."""


def network_parameters(recipe: Recipe) -> dict[str, Any]:
    """What the network of a recipe is built from."""
    own = recipe.network.model_dump(mode="json", exclude={"name"})
    return {"sources": len(recipe.inputs), "targets": len(recipe.targets), **own}


def build_network(recipe: Recipe) -> nn.Module:
    """A network with fresh weights from torch's current random state.

    A recipe without pairs has two of them, one for each direction between its modalities.
    """
    network = NETWORKS[recipe.network.name]
    if not recipe.unpaired:
        return network(**network_parameters(recipe))
    both = TwoWay(generator=network, **network_parameters(recipe))
    for name, table in both.named_buffers():
        if name.endswith(".linear"):
            _pass_on(table)
    return both


def _pass_on(table: torch.Tensor) -> None:
    """Without pairs there is no least-squares answer: the one source is passed on as it is."""
    table[1, 0, 0] = 1.0


def laid_out(network: nn.Module, recipe: Recipe) -> nn.Module:
    """The network with its weights in the memory layout that its convolutions run best in."""
    if recipe.dimension == "2D":
        return network  # Channels last was 3 to 16 % slower with InstanceNorm on a processor.
    placed: nn.Module = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return placed
