"""U-Net of MM-GAN: all the modalities of an axial slice from whichever are there."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from bids_synth.errors import RecipeError
from bids_synth.learn.networks.blocks.absent import fill_absent, keep_available
from bids_synth.learn.networks.blocks.layout import as_slices, cropped, padded
from bids_synth.learn.networks.blocks.parts import level_widths, output_of

DROPOUT_FROM = 4
"""Level, counted from 1, from which an encoder drops values."""


class UNet2D(nn.Module):
    """The MM-GAN generator (Sharma 2020, doi:10.1109/TMI.2019.2945521), slice by slice.

    `depth` halvings by convolutions of 4x4 voxels with InstanceNorm (not at the first level and
    not at the bottleneck), as many doublings, a last convolution on maps of the full size. From
    three images to three it has 29,238,275 parameters at depth 6 and 54,404,099 at depth 8, the
    published 29.2 and 54.4 million.

    Absent images are imputed from `available`: see `fill_absent`. `output` is "relu" as
    published, sensible for images scaled to about [0, 1]; "linear", "sigmoid"; or "tanh",
    brought to [0, 1]. With `implicit`, available images are returned as they came (sources and
    targets must then be the same modalities in the same order). Slices of any size: they are
    padded with zeros to a multiple of 2 to the power of `depth`, and the result is cropped.
    """

    def __init__(
        self,
        *,
        sources: int,
        targets: int,
        depth: int = 6,
        filters: int = 64,
        imputation: str = "zeros",
        output: str = "relu",
        dropout: float = 0.2,
        implicit: bool = False,
    ) -> None:
        super().__init__()
        if implicit and sources != targets:
            message = f"implicit needs as many targets as sources, got {targets} and {sources}"
            raise RecipeError(message)
        widths = level_widths(depth, filters)
        self.imputation, self.implicit, self.multiple = imputation, implicit, 2**depth
        self.down = nn.ModuleList(
            _down(before, after, norm=0 < level < depth - 1, dropout=_rate(level, dropout))
            for level, (before, after) in enumerate(zip([sources, *widths], widths, strict=False))
        )
        self.up = nn.ModuleList(
            _up(widths[-1] if level == depth - 1 else 2 * widths[level], widths[level - 1])
            for level in range(depth - 1, 0, -1)
        )
        self.last = DoubledConv2d(2 * filters, targets)
        self.output = output_of(output)

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        """images (N, S, I, J, 1) in scaled numbers, available (N, S) -> (N, T, I, J, 1)."""
        inputs = fill_absent(images, available, self.imputation, fresh=self.training)
        maps = padded(as_slices(inputs), self.multiple)
        skips: list[torch.Tensor] = []
        for level in self.down:
            maps = level(maps)
            skips.append(maps)
        skips.pop()
        for level in self.up:
            maps = torch.cat([level(maps), skips.pop()], dim=1)
        image = self.output(cropped(self.last(maps), images.shape[2:4]))[..., None]
        return keep_available(image, images, available) if self.implicit else image


class DoubledConv2d(nn.Conv2d):
    """Nearest-neighbour doubling, one row and column of zeros before, then a 4x4 convolution.

    Computed without the doubled maps: each of the four voxels that a voxel becomes is a 3x3
    convolution of the small maps, whose weights are sums of the 4x4 ones.
    """

    def __init__(self, maps: int, targets: int) -> None:
        super().__init__(maps, targets, kernel_size=4)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, maps, I, J) -> (N, targets, 2 I, 2 J)."""
        weight = _phases(_phases(self.weight, 2), 4).permute(0, 2, 4, 1, 3, 5)
        bias = None if self.bias is None else self.bias.repeat_interleave(4)
        small = functional.conv2d(maps, weight.flatten(0, 2), bias, padding=1)
        return functional.pixel_shuffle(small, 2)


def _phases(weight: torch.Tensor, axis: int) -> torch.Tensor:
    """An axis of 4 weights -> axes of 2 phases and 3 weights."""
    first, second, third, fourth = weight.unbind(axis)
    even = torch.stack([first + second, third + fourth, torch.zeros_like(first)], axis)
    odd = torch.stack([first, second + third, fourth], axis)
    return torch.stack([even, odd], axis)


def _rate(level: int, dropout: float) -> float:
    return dropout if level + 1 >= DROPOUT_FROM else 0.0


def _down(before: int, after: int, *, norm: bool, dropout: float) -> nn.Sequential:
    parts: list[nn.Module] = [nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)]
    if norm:
        parts.append(nn.InstanceNorm2d(after))
    parts.append(nn.LeakyReLU(0.2))
    if dropout:
        parts.append(nn.Dropout(dropout))
    return nn.Sequential(*parts)


def _up(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False),
        nn.InstanceNorm2d(after),
        nn.ReLU(),
    )
