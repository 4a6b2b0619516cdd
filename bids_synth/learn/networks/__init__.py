"""Networks by the name that recipes use; a new one is one more file and one more line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bids_synth.learn.baselines.linear import Gramian
from bids_synth.learn.networks.blocks.curve import matching_curve
from bids_synth.learn.networks.blocks.initial import draw_normal
from bids_synth.learn.networks.context import ContextPerceptron
from bids_synth.learn.networks.excitation_unet import ExcitationUNet
from bids_synth.learn.networks.own import own_network
from bids_synth.learn.networks.pix2pix_unet import Pix2PixUNet
from bids_synth.learn.networks.residual_unet import ResidualUNet
from bids_synth.learn.networks.residual_unet3d import ResidualUNet3D
from bids_synth.learn.networks.resnet2d import ResNet2D
from bids_synth.learn.networks.two_way import TwoWay
from bids_synth.learn.networks.unet2d import UNet2D
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.network import OwnPart

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "residual-unet": ResidualUNet,
    "context": ContextPerceptron,
    "unet-2d": UNet2D,
    "pix2pix-unet": Pix2PixUNet,
    "resnet-2d": ResNet2D,
    "attention-unet": ResidualUNet3D,
    "excitation-unet": ExcitationUNet,
}
"""Name -> class, called with the numbers of sources and targets and the recipe's keys."""
UNBUILT = {"name", "initial", "voxels", "copies", "sample"}
"""Keys of a network that say how it begins or what it learns from, not what it is."""
Quantiles = Callable[[str, npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""(modality, shares) -> quantiles of its scaled values at these shares."""


def network_parameters(recipe: Recipe) -> dict[str, Any]:
    """What the network of a recipe is built from."""
    own = recipe.network.model_dump(mode="json", exclude=UNBUILT)
    if isinstance(recipe.network, OwnPart):
        own = {"import": recipe.network.import_, **recipe.network.parameters}
    return {"sources": len(recipe.inputs), "targets": len(recipe.targets), **own}


def build_network(recipe: Recipe) -> nn.Module:
    """A network with fresh weights from torch's current random state.

    A recipe without pairs has two of them, one for each direction between its modalities.
    """
    keys = network_parameters(recipe)
    own = isinstance(recipe.network, OwnPart)
    kind = own_network(keys.pop("import")) if own else NETWORKS[recipe.network.name]
    network = TwoWay(generator=kind, **keys) if recipe.unpaired else kind(**keys)
    published = getattr(recipe.network, "initial", "usual") == "normal"
    return draw_normal(network) if published else network


def start_linear(
    network: nn.Module, recipe: Recipe, gramian: Callable[[], Gramian], quantiles: Quantiles
) -> None:
    """Let a network that keeps a linear answer begin with that of the training participants.

    Without pairs, one that keeps a curve begins with that which gives its source the quantiles of
    its target, in the order in which their mean images say. `gramian` and `quantiles` are called
    only where there is such a network.
    """
    if isinstance(network, TwoWay):
        for n, way in enumerate(network.ways):
            source, target = recipe.sources[n], recipe.targets[1 - n]
            _fill(way, gramian, [source], [target])
            _bend(way, quantiles, source, target)
    else:
        _fill(network, gramian, recipe.inputs, recipe.targets)


def _fill(
    network: nn.Module,
    gramian: Callable[[], Gramian],
    sources: Sequence[str],
    targets: Sequence[str],
) -> None:
    if "linear" in dict(network.named_buffers(recurse=False)):
        table = gramian().table(sources, targets)
        network.get_buffer("linear").copy_(torch.from_numpy(table))


def _bend(way: nn.Module, quantiles: Quantiles, source: str, target: str) -> None:
    curve = dict(way.named_buffers(recurse=False)).get("curve")
    if curve is None:
        return
    line = way.get_buffer("linear")[1, 0]
    slope, shares = float(line[0]), np.linspace(0, 1, curve.shape[1])
    if slope != 0:
        one, other = quantiles(source, shares), quantiles(target, shares)
        curve.copy_(matching_curve(one, other, falling=slope < 0))
        line.copy_(torch.tensor([1.0, 0.0]))


def laid_out(network: nn.Module, recipe: Recipe) -> nn.Module:
    """The network with its weights in the memory layout that its convolutions run best in."""
    if recipe.dimension == "2D":
        return network  # Channels last was 3 to 16 % slower with InstanceNorm on a processor.
    placed: nn.Module = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return placed
