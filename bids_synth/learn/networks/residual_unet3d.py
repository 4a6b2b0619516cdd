"""Residual U-Net of MRI2PET: a PET image from a T1w image, in 3D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import gcd

import torch
from torch import nn

from bids_synth.learn.networks.blocks.absent import fill_absent
from bids_synth.learn.networks.blocks.convolution import hasten
from bids_synth.learn.networks.blocks.depthwise import DepthwiseConv3d, PointwiseConv3d
from bids_synth.learn.networks.blocks.layout import cropped, padded
from bids_synth.learn.networks.blocks.parts import output_of
from bids_synth.learn.networks.blocks.space_attention import SpaceAttention


class ResidualUNet3D(nn.Module):
    """The network of MRI2PET: the denoising U-Net of Ho 2020 (arXiv:2006.11239) without time.

    `levels` of `filters` maps each, or of `filters` times `multipliers`. Each has `blocks`
    residual blocks on the way down and one more on the way up, since what enters the level is
    skipped too; the deepest ones attend over space. In the middle: residual block, attention,
    residual block, whose convolutions are whole also where the others are `depthwise`, separable.

    Mended: the published attention ran over the items of the batch and not over space, and the
    published sigmoid could not be switched off; `output` is "sigmoid" or "linear", or as in
    `parts.OUTPUTS`. Published are 490,401 parameters, and the defaults have as many with one
    source and one target. The description leaves open where biases stand: with biases in the
    resampling convolutions too there would be 490,593, so they have none here.

    Absent sources are 0. Images of any size: padded with zeros to a multiple of 2 to the power
    of the number of levels less one, and the result is cropped.
    """

    def __init__(
        self,
        *,
        sources: int,
        targets: int,
        filters: int = 32,
        levels: int = 4,
        multipliers: Sequence[int] = (),
        blocks: int = 1,
        depthwise: bool = True,
        heads: int = 4,
        output: str = "sigmoid",
    ) -> None:
        super().__init__()
        widths = [filters * times for times in multipliers or (1,) * levels]
        build = partial(_block, depthwise=depthwise)
        self.multiple = 2 ** (len(widths) - 1)
        self.head = nn.Conv3d(sources, filters, 3, padding=1)
        self.down, skipped = _way_down(filters, widths, blocks, heads, build)
        self.middle = nn.Sequential(
            _block(widths[-1], widths[-1], heads, depthwise=False),
            _block(widths[-1], widths[-1], 0, depthwise=False),
        )
        self.up = _way_up(skipped, widths, blocks, heads, build)
        self.last = nn.Sequential(
            nn.GroupNorm(gcd(8, widths[0]), widths[0]),
            nn.SiLU(),
            nn.Conv3d(widths[0], targets, 3, padding=1),
            output_of(output),
        )
        hasten(self)

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        """images (N, S, I, J, K) in scaled numbers, available (N, S) -> (N, T, I, J, K)."""
        inputs = padded(fill_absent(images, available, "zeros", fresh=False), self.multiple)
        # After the head: images of one map have no layout of their own to hand on.
        maps = self.head(inputs).contiguous(memory_format=torch.channels_last_3d)
        skips = [maps]
        for part in self.down:
            maps = part(maps)
            skips.append(maps)
        maps = self.middle(maps)
        for part in self.up:
            enlarges = isinstance(part, nn.ConvTranspose3d)
            maps = part(maps if enlarges else torch.cat([maps, skips.pop()], dim=1))
        return cropped(self.last(maps), images.shape[2:])


class ResidualBlock(nn.Module):
    """Twice GroupNorm, Swish and 3x3x3 convolution, added to the maps or to 1x1x1 mixtures."""

    def __init__(self, before: int, after: int, *, depthwise: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(gcd(4, before), before),
            nn.SiLU(),
            _convolution(before, after, depthwise=depthwise),
            nn.GroupNorm(gcd(4, after), after),
            nn.SiLU(),
            _convolution(after, after, depthwise=depthwise),
        )
        self.short = nn.Identity() if before == after else PointwiseConv3d(before, after)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, before, I, J, K) -> (N, after, I, J, K)."""
        added: torch.Tensor = self.body(maps)
        straight: torch.Tensor = self.short(maps)
        return straight + added


def _convolution(before: int, after: int, *, depthwise: bool) -> nn.Module:
    if not depthwise:
        return nn.Conv3d(before, after, 3, padding=1)
    return nn.Sequential(DepthwiseConv3d(before), PointwiseConv3d(before, after))


def _block(before: int, after: int, heads: int, *, depthwise: bool) -> nn.Module:
    block = ResidualBlock(before, after, depthwise=depthwise)
    return nn.Sequential(block, SpaceAttention(after, heads=heads)) if heads else block


def _way_down(
    before: int, widths: list[int], blocks: int, heads: int, build: Callable[..., nn.Module]
) -> tuple[nn.ModuleList, list[int]]:
    """The encoder, and how many maps each of its steps leaves for the decoder."""
    parts, skipped = nn.ModuleList(), [before]
    for level, width in enumerate(widths):
        deepest = level == len(widths) - 1
        for _ in range(blocks):
            parts.append(build(skipped[-1], width, heads if deepest else 0))
            skipped.append(width)
        if not deepest:
            parts.append(_smaller(width))
            skipped.append(width)
    return parts, skipped


def _way_up(
    skipped: list[int],
    widths: list[int],
    blocks: int,
    heads: int,
    build: Callable[..., nn.Module],
) -> nn.ModuleList:
    parts, before, left = nn.ModuleList(), widths[-1], list(skipped)
    for level, width in reversed(list(enumerate(widths))):
        deepest = level == len(widths) - 1
        for _ in range(blocks + 1):
            parts.append(build(before + left.pop(), width, heads if deepest else 0))
            before = width
        if level:
            parts.append(_larger(width))
    return parts


def _smaller(maps: int) -> nn.Module:
    return nn.Conv3d(maps, maps, 3, stride=2, padding=1, bias=False)


def _larger(maps: int) -> nn.Module:
    return nn.ConvTranspose3d(maps, maps, 4, stride=2, padding=1, bias=False)
