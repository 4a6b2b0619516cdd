"""U-Net with gates and excitation: CMRO2 from quantitative MRI, in 3D."""

from __future__ import annotations

from math import gcd

import torch
from monai.networks.blocks import ChannelSELayer
from torch import nn

from bids_synth.learn.networks.blocks.absent import fill_absent
from bids_synth.learn.networks.blocks.convolution import hasten
from bids_synth.learn.networks.blocks.layout import cropped, padded
from bids_synth.learn.networks.blocks.parts import GROUPS, level_widths, output_of


class ExcitationUNet(nn.Module):
    """A 3D U-Net of residual blocks, attention gates on the skips, squeeze-and-excitation.

    One of the four that the published CMRO2 system averages. Only a diagram is published: three
    levels down, a bottleneck, excitation there and at every level of the decoder. Widths, norms
    and reduction are ours: `filters` maps at the first level, doubled at each, GroupNorm (never
    the statistics of other items), excitation through an eighth of the maps. Gates after Oktay
    2018 (arXiv:1804.03999), excitation after Hu 2018 (arXiv:1709.01507), as MONAI has it.

    `levels` counts the bottleneck. Absent sources are 0. Images of any size: padded with zeros to
    a multiple of 2 to the power of the levels less one, and the result is cropped; excitation
    then averages over the padding too.
    """

    def __init__(
        self,
        *,
        sources: int,
        targets: int,
        filters: int = 16,
        levels: int = 4,
        output: str = "linear",
    ) -> None:
        super().__init__()
        widths = level_widths(levels, filters)
        self.multiple = 2 ** (levels - 1)
        self.down = nn.ModuleList(
            ResidualBlock(before, after)
            for before, after in zip([sources, *widths], widths[:-1], strict=False)
        )
        self.smaller = nn.ModuleList(
            nn.Conv3d(width, width, 3, stride=2, padding=1, bias=False) for width in widths[:-1]
        )
        self.bottleneck = _excited(widths[-2], widths[-1])
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.larger = nn.ModuleList(nn.ConvTranspose3d(a, b, 2, stride=2) for a, b in steps)
        self.gates = nn.ModuleList(AttentionGate(after) for _, after in steps)
        self.up = nn.ModuleList(_excited(2 * after, after) for _, after in steps)
        self.last = nn.Sequential(nn.Conv3d(filters, targets, 1), output_of(output))
        hasten(self)

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        """images (N, S, I, J, K) in scaled numbers, available (N, S) -> (N, T, I, J, K)."""
        inputs = padded(fill_absent(images, available, "zeros", fresh=False), self.multiple)
        maps = inputs.contiguous(memory_format=torch.channels_last_3d)
        skips: list[torch.Tensor] = []
        for block, smaller in zip(self.down, self.smaller, strict=True):
            skips.append(block(maps))
            maps = smaller(skips[-1])
        maps = self.bottleneck(maps)
        for larger, gate, block in zip(self.larger, self.gates, self.up, strict=True):
            maps = larger(maps)
            maps = block(torch.cat([gate(skips.pop(), maps), maps], dim=1))
        return cropped(self.last(maps), images.shape[2:])


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions with GroupNorm, added to the maps or to 1x1x1 mixtures of them."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(before, after, 3, padding=1, bias=False),
            _norm(after),
            nn.LeakyReLU(0.01),
            nn.Conv3d(after, after, 3, padding=1, bias=False),
            _norm(after),
        )
        self.short = nn.Identity() if before == after else nn.Conv3d(before, after, 1)
        self.activate = nn.LeakyReLU(0.01)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, before, I, J, K) -> (N, after, I, J, K)."""
        result: torch.Tensor = self.activate(self.body(maps) + self.short(maps))
        return result


class AttentionGate(nn.Module):
    """What a skip hands on, weighted in each voxel by what the deeper levels ask for."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        hidden = max(maps // 2, 1)
        self.skipped = nn.Conv3d(maps, hidden, 1, bias=False)
        self.asked = nn.Conv3d(maps, hidden, 1, bias=False)
        self.weigh = nn.Sequential(
            _norm(hidden), nn.LeakyReLU(0.01), nn.Conv3d(hidden, 1, 1), nn.Sigmoid()
        )

    def forward(self, skip: torch.Tensor, deeper: torch.Tensor) -> torch.Tensor:
        """Two (N, maps, I, J, K) -> the first, each voxel times a number between 0 and 1."""
        weight: torch.Tensor = self.weigh(self.skipped(skip) + self.asked(deeper))
        return skip * weight


def _excited(before: int, after: int) -> nn.Sequential:
    squeeze = ChannelSELayer(spatial_dims=3, in_channels=after, r=min(8, after))
    return nn.Sequential(ResidualBlock(before, after), squeeze)


def _norm(maps: int) -> nn.GroupNorm:
    return nn.GroupNorm(gcd(GROUPS, maps), maps)
