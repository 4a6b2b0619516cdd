"""The tissue network: a U-Net on blocks of 2 x 2 x 2 voxels."""

from __future__ import annotations

import torch
from monai.networks.nets import BasicUNet
from torch import nn

CLASSES = ("background", "head", "csf", "grey", "white")
"""What it tells apart, in the order of its maps."""
BLOCK = 2
FEATURES = (24, 32, 64, 64, 64, 24)


class TissueNetwork(nn.Module):
    """(N, 1, I, J, K) greys -> (N, 5, I, J, K) scores of the tissues; sides are even.

    Blocks of voxels are maps on the way in and out (Shi 2016, doi:10.1109/CVPR.2016.207):
    narrow convolutions at full resolution take most of the time of a plain U-Net on a CPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = BasicUNet(
            spatial_dims=3,
            in_channels=BLOCK**3,
            out_channels=len(CLASSES) * BLOCK**3,
            features=FEATURES,
            act=("LeakyReLU", {"negative_slope": 0.1, "inplace": True}),
            norm=("instance", {"affine": True}),
            upsample="nontrainable",
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.trunk(into_blocks(image))
        return out_of_blocks(scores)


def into_blocks(image: torch.Tensor) -> torch.Tensor:
    """(N, C, 2I, 2J, 2K) -> (N, 8C, I, J, K); ValueError for an odd side."""
    if any(size % BLOCK for size in image.shape[2:]):
        message = f"expected sides that are multiples of {BLOCK}, got {tuple(image.shape[2:])}"
        raise ValueError(message)
    count, maps, *sides = image.shape
    split = [part for size in sides for part in (size // BLOCK, BLOCK)]
    blocks = image.reshape(count, maps, *split).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return blocks.reshape(count, maps * BLOCK**3, *(size // BLOCK for size in sides))


def out_of_blocks(blocks: torch.Tensor) -> torch.Tensor:
    """(N, 8C, I, J, K) -> (N, C, 2I, 2J, 2K), the way back."""
    count, maps, *sides = blocks.shape
    maps //= BLOCK**3
    voxels = blocks.reshape(count, maps, BLOCK, BLOCK, BLOCK, *sides)
    voxels = voxels.permute(0, 1, 5, 2, 6, 3, 7, 4)
    return voxels.reshape(count, maps, *(size * BLOCK for size in sides))
