"""Portable: all networks of a model as one function of one window, and its description."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from bids_synth.errors import ModelError
from bids_synth.learn.exchange.dense_context import DenseContext
from bids_synth.learn.model.model import Model
from bids_synth.learn.networks.blocks.convolution import SmallConv3d
from bids_synth.learn.networks.blocks.depthwise import DepthwiseConv3d
from bids_synth.learn.networks.context import ContextPerceptron
from bids_synth.learn.networks.two_way import TwoWay
from bids_synth.recipe.sections.network import POINTWISE

SMALL = 24
"""Voxels a side of a window that shows enough of a network that looks voxel by voxel."""


class Portable(nn.Module):
    """One window to the answers of network after network, as the package asks them."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        own = [_plain(copy.deepcopy(n)) for n in networks]
        reading = [n for n in own if isinstance(n, ContextPerceptron)]
        ways = [_BothWays(n) if isinstance(n, TwoWay) else n for n in own]
        self.networks = nn.ModuleList([DenseContext(reading)] if reading else ways)

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        """images (1, S, I, J, K) in scaled numbers, available (1, S) -> (1, M T, I, J, K)."""
        return torch.cat([network(images, available) for network in self.networks], dim=1)


class Stacked(nn.Module):
    """The same of one array: images, and after them a map of ones or zeros for each of them."""

    def __init__(self, portable: nn.Module, inputs: int) -> None:
        super().__init__()
        self.portable, self.inputs = portable, inputs

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(1, 2 S, I, J, K) -> (1, M T, I, J, K)."""
        available = image[:, self.inputs :].amax(dim=(2, 3, 4))
        result: torch.Tensor = self.portable(image[:, : self.inputs], available)
        return result


class _BothWays(nn.Module):
    """`TwoWay` without its short cut, which looks at values and which no graph can hold."""

    def __init__(self, network: TwoWay) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        results = [self._way(direction, images, available) for direction in (1, 0)]
        return torch.cat(results, dim=1)

    def _way(self, way: int, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        there = available[:, way : way + 1, None, None, None]
        return self.network.translate(way, images[:, way : way + 1]) * there


def _plain(network: nn.Module) -> nn.Module:
    """The same with torch's own convolutions: no graph holds those that call oneDNN."""
    for part in network.modules():
        if isinstance(part, SmallConv3d | DepthwiseConv3d):
            part.__class__ = nn.Conv3d  # type: ignore[assignment]
    return network


def portable_of(model: Model) -> Portable:
    """The networks of a model, in evaluation mode."""
    return Portable(model.networks()).eval()


def window_of(model: Model) -> tuple[torch.Tensor, torch.Tensor]:
    """An empty window of the recipe's patch: images (1, S, I, J, K) and available (1, S)."""
    inputs = len(model.recipe.inputs)
    return torch.zeros(1, inputs, *model.recipe.fit.patch), torch.ones(1, inputs)


def example_of(model: Model) -> tuple[torch.Tensor, torch.Tensor]:
    """A window to trace with: a small one where the graph answers windows of any shape."""
    images, available = window_of(model)
    if model.recipe.network.name in POINTWISE:
        images = images[..., :SMALL, :SMALL, :SMALL]
    return images, available


def description(model: Model) -> dict[str, Any]:
    """What whoever runs the networks must know: names, window, scales, whose they are."""
    recipe, card = model.recipe, model.card
    return {
        "name": model.name,
        "fitted_by": card.version,
        "weights_sha256": model.sha256,
        "recipe": recipe.name,
        "task": recipe.task,
        "inputs": list(recipe.inputs),
        "targets": list(recipe.targets),
        "networks": len(card.weights),
        "window": list(recipe.fit.patch),
        "overlap": recipe.synthesis.overlap,
        "scales": {name: asdict(scale) for name, scale in model.scales.items()},
        "units": {name: recipe.unit(name) for name in recipe.targets},
        "dataset": card.dataset,
        "licence": card.licence,
        "intended_use": card.intended_use,
    }


@contextmanager
def written_as(kind: str, model: Model) -> Iterator[None]:
    """Run an exporter; ModelError with its reason where it cannot hold the networks."""
    try:
        with torch.no_grad():
            yield
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        network = model.recipe.network.name
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else ""
        message = (
            f"model {model.name}: its network {network} cannot be written as {kind} "
            f"({type(error).__name__}: {reason}); share the model folder itself"
        )
        raise ModelError(message) from error
