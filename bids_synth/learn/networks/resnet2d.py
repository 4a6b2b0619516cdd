"""Residual generator of CycleGAN: one slice from another, at the same place."""

from __future__ import annotations

import torch
from torch import nn

from bids_synth.learn.networks.blocks.absent import fill_absent
from bids_synth.learn.networks.blocks.convolution import NarrowConv2d
from bids_synth.learn.networks.blocks.layout import as_slices, cropped, padded
from bids_synth.learn.networks.blocks.parts import output_of


class ResNet2D(nn.Module):
    """The CycleGAN generator (Zhu 2017, arXiv:1703.10593; Johnson 2016, arXiv:1603.08155).

    A 7x7 convolution, two halvings, residual blocks, two doublings, a 7x7 convolution, with
    reflection padding and InstanceNorm without parameters. From three images to three it has
    7,837,699 parameters with 6 blocks and 11,378,179 with 9, as published; that number includes
    biases which the norm behind them cancels.

    `output` is "linear"; the published "tanh" expects images in [-1, 1], ours are scaled to about
    [0, 1], so tanh is brought to [0, 1]. Absent sources are 0. Slices of any size from 8 voxels:
    padded with zeros to a multiple of 4, and the result is cropped.
    """

    def __init__(
        self,
        *,
        sources: int,
        targets: int,
        blocks: int = 9,
        filters: int = 64,
        output: str = "linear",
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(3),
            *_normed(nn.Conv2d(sources, filters, 7), filters),
            *_normed(_halving(filters), 2 * filters),
            *_normed(_halving(2 * filters), 4 * filters),
            *(ResidualBlock(4 * filters) for _ in range(blocks)),
            *_normed(_doubling(4 * filters), 2 * filters),
            *_normed(_doubling(2 * filters), filters),
            nn.ReflectionPad2d(3),
            NarrowConv2d(filters, targets, 7),
            output_of(output),
        )

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        """images (N, S, I, J, 1) in scaled numbers, available (N, S) -> (N, T, I, J, 1)."""
        inputs = as_slices(fill_absent(images, available, "zeros", fresh=False))
        image = cropped(self.body(padded(inputs, 4)), images.shape[2:4])
        return image[..., None]


class ResidualBlock(nn.Module):
    """Maps plus two convolutions of them; nothing is activated after the sum."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            *_normed(nn.Conv2d(maps, maps, 3), maps),
            nn.ReflectionPad2d(1),
            nn.Conv2d(maps, maps, 3),
            nn.InstanceNorm2d(maps),
        )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, maps, I, J) -> same shape."""
        added: torch.Tensor = self.body(maps)
        return maps + added


def _normed(convolution: nn.Module, maps: int) -> tuple[nn.Module, ...]:
    return convolution, nn.InstanceNorm2d(maps), nn.ReLU()


def _halving(maps: int) -> nn.Module:
    return nn.Conv2d(maps, 2 * maps, 3, stride=2, padding=1)


def _doubling(maps: int) -> nn.Module:
    return nn.ConvTranspose2d(maps, maps // 2, 3, stride=2, padding=1, output_padding=1)
