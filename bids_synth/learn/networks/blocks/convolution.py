"""Convolution: those that torch is slow at on a processor, by a quicker way."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from bids_synth.learn.networks.blocks.depthwise import PointwiseConv3d

SMALL = 20480
"""Batch x maps x I x J up to which torch 2.13 leaves oneDNN for its own, slower loops."""


class SmallConv3d(nn.Conv3d):
    """A 3x3x3 convolution that uses oneDNN also where torch would not.

    For a batch of one, torch chooses by size alone, and its own loops take up to six times as
    long as oneDNN for the maps of a patch of 32 voxels or of the deeper levels of 64.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, maps, I, J, K) -> (N, maps, I, J, K); any other use is that of `nn.Conv3d`."""
        if self._is_small(images):
            padding, stride = list(map(int, self.padding)), list(self.stride)
            small: Any = _Small.apply
            result: torch.Tensor = small(images, self.weight, padding, stride)
            return result
        return super().forward(images)

    def _is_small(self, images: torch.Tensor) -> bool:
        return (
            images.device.type == "cpu"
            and images.dtype == torch.float32
            and images.shape[0] == 1
            and images[0, ..., 0].numel() <= SMALL
            and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        )


class NarrowConv2d(nn.Conv2d):
    """A convolution without padding to so few maps that oneDNN's blocks of them stay empty.

    Each column of the kernel makes maps of its own, which are added, each moved to its place: a
    kernel of 7x7 voxels from 64 maps to one takes less than half of the time, and a quarter of
    it where nothing is learned.
    """

    def __init__(self, maps: int, targets: int, kernel: int) -> None:
        super().__init__(maps, targets, kernel)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, maps, I, J) -> (N, targets, I - kernel + 1, J - kernel + 1)."""
        if images.device.type != "cpu":
            return super().forward(images)
        count, kernel = self.weight.shape[0], self.weight.shape[-1]
        columns = self.weight.permute(3, 0, 1, 2).flatten(0, 1)[..., None]
        maps = functional.conv2d(images, columns)
        length = images.shape[3] - kernel + 1
        total = maps[:, :count, :, :length]
        for place in range(1, kernel):
            part = slice(place * count, (place + 1) * count)
            total = total + maps[:, part, :, place : place + length]
        return total if self.bias is None else total + self.bias[:, None, None]


def hasten(network: nn.Module) -> None:
    """Turn the plain 3x3x3 convolutions of a network into `SmallConv3d`; weights stay.

    And those of 1x1x1 into matrix products, which keep channels_last_3d; torch's own lose it, and
    the levels after them run in the other layout.
    """
    for module in network.modules():
        if type(module) is not nn.Conv3d or module.groups > 1 or module.dilation != (1, 1, 1):
            continue
        if module.kernel_size == (3, 3, 3) and module.bias is None:
            module.__class__ = SmallConv3d
        elif module.kernel_size == module.stride == (1, 1, 1) and module.padding == (0, 0, 0):
            module.__class__ = PointwiseConv3d


class _Small(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        images: torch.Tensor,
        weight: torch.Tensor,
        padding: list[int],
        stride: list[int],
    ) -> torch.Tensor:
        ctx.save_for_backward(images, weight)
        ctx.padding, ctx.stride = padding, stride
        return torch.mkldnn_convolution(images, weight, None, padding, stride, [1, 1, 1], 1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        # Tensors in oneDNN's own layout are what makes torch take oneDNN here.
        to_images, to_weight, _ = torch.ops.aten.convolution_backward(
            gradients[0].to_mkldnn(),
            images.to_mkldnn(),
            weight,
            None,
            ctx.stride,
            ctx.padding,
            [1, 1, 1],
            False,  # noqa: FBT003
            [0, 0, 0],
            1,
            [ctx.needs_input_grad[0], True, False],
        )
        return (to_images.to_dense() if ctx.needs_input_grad[0] else None), to_weight, None, None
