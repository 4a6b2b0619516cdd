"""Networks of another package, as `network.import` of a recipe names them."""

from __future__ import annotations

import torch
from torch import nn


class Mixture(nn.Module):
    """A mixture of the images of each voxel, through a few maps."""

    def __init__(self, *, sources: int, targets: int, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv3d(2 * sources, width, 1)
        self.last = nn.Conv3d(width, targets, 1)

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        maps = available[:, :, None, None, None].expand_as(images)
        return self.last(self.first(torch.cat([images, maps], dim=1)).relu())


class Straight(Mixture):
    """The same without what bends it."""

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        maps = available[:, :, None, None, None].expand_as(images)
        return self.last(self.first(torch.cat([images, maps], dim=1)))
