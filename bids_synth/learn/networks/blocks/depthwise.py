"""The halves of a separable convolution in 3D, so that neither takes longer than it must."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class DepthwiseConv3d(nn.Conv3d):
    """A 3x3x3 convolution of each map by itself.

    On a processor, torch 2.13's own gradients of it take ten times as long. Here the one with
    respect to the maps is what it is, the same convolution with flipped weights; the one with
    respect to the weights comes from oneDNN's 2D kernels, plane by plane. Quickest for maps in
    channels_last_3d.
    """

    def __init__(self, maps: int) -> None:
        super().__init__(maps, maps, 3, padding=1, groups=maps)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, maps, I, J, K) -> same shape."""
        plain = maps.device.type == "cpu" and maps.dtype == torch.float32
        if plain and not torch.is_autocast_enabled("cpu"):
            apply: Any = _Depthwise.apply
            result: torch.Tensor = apply(maps, self.weight, self.bias)
            return result
        return super().forward(maps)


class PointwiseConv3d(nn.Conv3d):
    """Mixtures of the maps of each voxel: a matrix product, which keeps channels_last_3d."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, before, I, J, K) -> (N, after, I, J, K)."""
        mixed = functional.linear(maps.movedim(1, -1), self.weight.flatten(1), self.bias)
        return mixed.movedim(-1, 1)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, maps: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(maps, weight)
        return functional.conv3d(maps, weight, bias, padding=1, groups=maps.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        maps, weight = ctx.saved_tensors
        gradient, to_maps = gradients[0], None
        if ctx.needs_input_grad[0]:
            flipped = weight.flip(2, 3, 4)
            to_maps = functional.conv3d(gradient, flipped, padding=1, groups=maps.shape[1])
        to_bias = gradient.sum(dim=(0, 2, 3, 4))
        return to_maps, _weight_gradient(maps, gradient, weight), to_bias


def _weight_gradient(
    maps: torch.Tensor, gradient: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """The gradient (maps, 1, 3, 3, 3): for each shift along I, that of a 2D convolution."""
    length = maps.shape[2]
    results = []
    for shift in (-1, 0, 1):
        start, end = max(0, -shift), length - max(0, shift)
        if start >= end:
            results.append(torch.zeros_like(weight[:, :, 0]))
            continue
        planes = _planes(maps[:, :, start + shift : end + shift])
        results.append(_planar_gradient(planes, _planes(gradient[:, :, start:end]), weight))
    return torch.stack(results, dim=2)


def _planes(maps: torch.Tensor) -> torch.Tensor:
    """(N, maps, I, J, K) -> (N I, maps, J, K) in channels_last; a view where N is 1."""
    last = maps.contiguous(memory_format=torch.channels_last_3d)
    return last.transpose(1, 2).flatten(0, 1)


def _planar_gradient(
    planes: torch.Tensor, gradient: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    groups, ones = planes.shape[1], [1, 1]
    _, to_weight, _ = torch.ops.aten.convolution_backward(
        gradient,
        planes,
        weight[:, :, 0],
        None,
        ones,
        ones,
        ones,
        False,  # noqa: FBT003
        [0, 0],
        groups,
        [False, True, False],
    )
    result: torch.Tensor = to_weight
    return result
