"""Attention over space: every voxel of a small 3D map looks at all the others of its item."""

from __future__ import annotations

from math import gcd

import torch
from torch import nn
from torch.nn import functional

GROUPS = 4
"""Of the GroupNorm."""


class SpaceAttention(nn.Module):
    """GroupNorm, multi-head self-attention between the voxels of one item, added to the maps.

    Scaled dot products (Vaswani 2017, arXiv:1706.03762) without an encoding of position; for
    maps of some 16x16x16 voxels at most, as work grows with the square of their number. `heads`
    and the groups are reduced to divisors of `maps`. Maps in channels_last_3d stay so, uncopied.
    """

    def __init__(self, maps: int, *, heads: int = 4) -> None:
        super().__init__()
        self.heads = gcd(heads, maps)
        self.norm = nn.GroupNorm(gcd(GROUPS, maps), maps)
        self.ask = nn.Linear(maps, 3 * maps)
        self.merge = nn.Linear(maps, maps)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, maps, I, J, K) -> same shape."""
        voxels = self.norm(maps).flatten(2).transpose(1, 2)
        heads = self.ask(voxels).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2])
        merged = self.merge(seen.transpose(1, 2).flatten(2))
        added: torch.Tensor = merged.transpose(1, 2).reshape(maps.shape)
        return maps + added
