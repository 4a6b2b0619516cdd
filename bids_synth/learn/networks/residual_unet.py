"""Residual U-Net that knows which of its images are there and adds to a linear answer."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

import torch
from monai.networks.nets import SegResNet
from torch import nn

from bids_synth.learn.networks.blocks.convolution import hasten
from bids_synth.learn.networks.blocks.curve import bend, straight_line
from bids_synth.learn.networks.blocks.subset import subset_number


class ResidualUNet(nn.Module):
    """Linear answer of the available sources, plus what a 3D residual U-Net adds to it.

    The linear part is fixed: for every subset of sources, the least-squares coefficients of
    the training voxels. The network therefore starts at the linear baseline. The U-Net is the
    encoder-decoder of Myronenko 2018 (arXiv:1810.11654) with GroupNorm and trilinear
    upsampling, as MONAI has it; it sees the images (0 where absent) and one map of ones or
    zeros per source that says whether it is there. With `knots`, the images go through a fixed
    curve before the linear part, a straight line to begin with.
    """

    def __init__(
        self,
        *,
        sources: int,
        targets: int,
        filters: int = 16,
        blocks: Sequence[int] = (1, 1, 1, 1),
        knots: int = 0,
    ) -> None:
        super().__init__()
        self.curve: torch.Tensor | None
        self.register_buffer("curve", straight_line(knots) if knots else None)
        self.linear: torch.Tensor
        self.register_buffer("linear", torch.zeros(2**sources, targets, sources + 1))
        self.body = SegResNet(
            spatial_dims=3,
            init_filters=filters,
            in_channels=2 * sources,
            out_channels=targets,
            norm=("GROUP", {"num_groups": gcd(8, filters)}),
            upsample_mode="nontrainable",
            blocks_down=tuple(blocks),
            blocks_up=(1,) * (len(blocks) - 1),
        )
        hasten(self.body)
        for parameter in self.body.conv_final[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        """images (N, S, I, J, K) in scaled numbers, available (N, S) -> (N, T, I, J, K)."""
        maps = available[:, :, None, None, None].to(images.dtype).expand_as(images)
        added = self.body(torch.cat([images, maps], dim=1).contiguous(memory_format=_LAYOUT))
        weights = self.linear[subset_number(available)]
        bent = images if self.curve is None else bend(images, self.curve)
        straight = torch.einsum("nts,nsijk->ntijk", weights[:, :, :-1], bent)
        result: torch.Tensor = added + straight + weights[:, :, -1, None, None, None]
        return result


_LAYOUT = torch.channels_last_3d
