"""Two generators, one for each direction between two modalities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from bids_synth.errors import RecipeError
from bids_synth.learn.networks.blocks.absent import spread
from bids_synth.learn.networks.resnet2d import ResNet2D


class TwoWay(nn.Module):
    """Two modalities, each made from the other by a generator of its own.

    `generator` is called twice, with sources=1, targets=1 and the other parameters: any network
    from one source to one target, 2D or 3D. Sources and targets are the same two modalities in
    the same order; direction 0 reads the first and makes the second, direction 1 the reverse.
    """

    def __init__(
        self,
        *,
        sources: int = 2,
        targets: int = 2,
        generator: Callable[..., nn.Module] = ResNet2D,
        **parameters: Any,
    ) -> None:
        super().__init__()
        if (sources, targets) != (2, 2):
            message = (
                "translation in both directions needs two modalities as sources and as targets, "
                f"got {sources} and {targets}"
            )
            raise RecipeError(message)
        self.ways = nn.ModuleList(generator(sources=1, targets=1, **parameters) for _ in range(2))

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        """images (N, 2, I, J, K), available (N, 2) -> (N, 2, I, J, K), each from the other one.

        0 everywhere where the image to translate is absent. Outside of fitting, a direction that
        no item of the batch needs is not computed.
        """
        results = [self._way(1, images, available), self._way(0, images, available)]
        return torch.cat(results, dim=1)

    def translate(self, direction: int, images: torch.Tensor) -> torch.Tensor:
        """images (N, 1, I, J, K) of the first (direction 0) or second (1) -> of the other one."""
        image: torch.Tensor = self.ways[direction](images, images.new_ones(images.shape[0], 1))
        return image

    def _way(self, direction: int, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        image = images[:, direction : direction + 1]
        there = spread(available[:, direction : direction + 1], image)
        if not torch.is_grad_enabled() and images.device.type != "meta" and not there.any():
            return torch.zeros_like(image)
        result = self.translate(direction, image)
        return torch.where(there, result, torch.zeros_like(result))
