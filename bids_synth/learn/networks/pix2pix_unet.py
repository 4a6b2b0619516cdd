"""U-Net of pix2pix: one slice from another."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from bids_synth.learn.networks.blocks.absent import fill_absent
from bids_synth.learn.networks.blocks.layout import as_slices, cropped, padded
from bids_synth.learn.networks.blocks.parts import level_widths, norm_of, output_of

DROPOUT_FROM = 5
"""Level, counted from 1, whose decoder drops values; the deepest one does not."""


class Pix2PixUNet(nn.Module):
    """The U-Net of pix2pix (Isola 2017, arXiv:1611.07004): unet_256 with 8 downs, unet_128 with 7.

    Mended: the published BatchNorm mixes the items of a batch, and dropout acted at synthesis
    too. Here `norm` is "instance" (without parameters, and no biases that it would cancel) or
    "group", which has the parameters of the BatchNorm that it replaces, so that from three images
    to three with 8 downs there are 54,413,955 of them, as published. Dropout acts in fitting only.

    `output` is "linear"; the published "tanh" expects images in [-1, 1], ours are scaled to about
    [0, 1], so tanh is brought to [0, 1] and cannot reach values beyond it. Absent sources are 0.
    Slices of any size: padded with zeros to a multiple of 2 to the power of `downs`, cropped back.
    """

    def __init__(
        self,
        *,
        sources: int,
        targets: int,
        downs: int = 8,
        filters: int = 64,
        norm: str = "instance",
        output: str = "linear",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        widths = level_widths(downs, filters)
        self.multiple = 2**downs
        self.down = nn.ModuleList(
            _down(before, after, norm if 0 < level < downs - 1 else "none")
            for level, (before, after) in enumerate(zip([sources, *widths], widths, strict=False))
        )
        self.up = nn.ModuleList(
            _up(
                widths[level] * (1 if level == downs - 1 else 2),
                widths[level - 1],
                norm,
                dropout if DROPOUT_FROM <= level + 1 < downs else 0.0,
            )
            for level in range(downs - 1, 0, -1)
        )
        self.last = nn.ConvTranspose2d(2 * filters, targets, 4, stride=2, padding=1)
        self.output = output_of(output)

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        """images (N, S, I, J, 1) in scaled numbers, available (N, S) -> (N, T, I, J, 1)."""
        inputs = fill_absent(images, available, "zeros", fresh=False)
        maps = self.down[0](padded(as_slices(inputs), self.multiple))
        skips: list[torch.Tensor] = []
        for level in self.down[1:]:
            skips.append(maps)
            maps = level(functional.leaky_relu(maps, 0.2))
        for level in self.up:
            maps = torch.cat([skips.pop(), level(functional.relu(maps))], dim=1)
        image: torch.Tensor = self.output(
            cropped(self.last(functional.relu(maps)), images.shape[2:4])
        )
        return image[..., None]


def _down(before: int, after: int, norm: str) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, norm_of(norm, after, 2))


def _up(before: int, after: int, norm: str, dropout: float) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, norm_of(norm, after, 2), nn.Dropout(dropout))
