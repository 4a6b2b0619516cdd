"""Dense context: the context perceptron as convolutions alone, for runtimes that know no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, sqrt

import torch
from torch import nn
from torch.nn import functional

from bids_synth.learn.networks.blocks.subset import subset_number
from bids_synth.learn.networks.blocks.surroundings import (
    COARSE,
    CUBE,
    LEAST_SHARE,
    LEVELS,
    SHARES,
    VALUES,
    closed,
)
from bids_synth.learn.networks.context import ContextPerceptron, Perceptron

SLAB = 16
"""Voxels of the first axis that are answered together: what bounds the memory."""


class DenseContext(nn.Module):
    """Several context perceptrons that answer at every voxel of a window.

    Reading values around a voxel and a linear layer over them are, together, one dilated
    convolution a level. Their numbers are those of `answers_of` but for the order of sums.
    """

    def __init__(self, networks: Sequence[ContextPerceptron]) -> None:
        super().__init__()
        self.voxels = nn.ModuleList(_Voxels(network) for network in networks)
        for level in LEVELS[1:]:
            name, sigma = _kernel_name(level.smoothing), _widths(level.smoothing)[-1]
            self.register_buffer(name, _gaussian(sigma), persistent=False)

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        """images (1, S, I, J, K) in scaled numbers, available (1, S) -> (1, M T, I, J, K)."""
        shown = images * available[:, :, None, None, None]
        inside = (shown != 0).to(shown.dtype).amax(dim=1, keepdim=True)
        mask = closed(inside[0])[None]
        planes, shares = [_rounded(shown * mask)], []
        for level in LEVELS[1:]:
            share = self._smoothed(mask, level.smoothing)
            means = self._smoothed(shown * mask, level.smoothing) / share.clamp_min(LEAST_SHARE)
            planes.append(_rounded(means * mask))
            shares.append(share)
        wide = [_rimmed(p, level.stride) for p, level in zip(planes, LEVELS, strict=True)]
        return torch.cat([v(wide, torch.cat(shares, 1), available) for v in self.voxels], 1) * mask

    def _smoothed(self, images: torch.Tensor, sigma: float) -> torch.Tensor:
        """As `smooth`, of (1, N, I, J, K)."""
        kernel, halvings = self.get_buffer(_kernel_name(sigma)), len(_widths(sigma)) - 1
        result: torch.Tensor = _held(_gaussian_means)(images, kernel, halvings)
        return result


class _Voxels(nn.Module):
    """One perceptron over the planes of all levels, slab by slab."""

    def __init__(self, network: ContextPerceptron) -> None:
        super().__init__()
        body = network.body
        if not isinstance(body, Perceptron):
            message = "expected a perceptron with its layers"
            raise TypeError(message)
        sources = (network.linear.shape[0] - 1).bit_length()
        near = body.first.weight[:, : VALUES * sources].view(-1, VALUES, sources)
        first = 0
        for n, level in enumerate(LEVELS):
            weight = near.new_zeros(near.shape[0], sources, 27)
            for number, offset in enumerate(level.offsets, start=first):
                weight[:, :, CUBE.index(offset)] = near[:, number]
            self.register_buffer(f"near_{n}", weight.view(*weight.shape[:2], 3, 3, 3))
            first += len(level.offsets)
        rest = body.first.weight[:, VALUES * sources :]
        self.register_buffer("shares", rest[:, :SHARES, None, None, None].clone())
        self.register_buffer("there", rest[:, SHARES:].clone())
        self.register_buffer("bias", body.first.bias.clone())
        self.register_buffer("linear", network.linear.clone())
        self.norms, self.hidden, self.last = body.norms, body.hidden, body.last

    def forward(
        self, wide: Sequence[torch.Tensor], shares: torch.Tensor, available: torch.Tensor
    ) -> torch.Tensor:
        """Planes with a rim along the first axis, shares (1, L, I, J, K) -> (1, T, I, J, K)."""
        layers = [part for pair in zip(self.norms, self.hidden, strict=True) for part in pair]
        result: torch.Tensor = _held(_answers)(
            list(wide),
            shares,
            [self.get_buffer(f"near_{n}") for n in range(len(LEVELS))],
            self.get_buffer("shares"),
            (self.get_buffer("bias") + available @ self.get_buffer("there").T)[0],
            self.get_buffer("linear")[subset_number(available)][0],
            [parameter for part in (*layers, self.last) for parameter in part.parameters()],
            [level.stride for level in LEVELS],
            SLAB,
        )
        return result


def _held(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """With its loops and sizes, where a trace would keep those of the example alone."""
    if not torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return function
    script: Callable[..., torch.Tensor] = torch.jit.script(function)
    return script


def _answers(
    wide: list[torch.Tensor],
    shares: torch.Tensor,
    near: list[torch.Tensor],
    share_weight: torch.Tensor,
    bias: torch.Tensor,
    line: torch.Tensor,
    layers: list[torch.Tensor],
    steps: list[int],
    slab: int,
) -> torch.Tensor:
    """The perceptron over one slab after the other; `layers` are norm, layer, ..., last."""
    slabs: list[torch.Tensor] = []
    length = shares.size(2)
    for start in range(0, length, slab):
        stop = min(start + slab, length)
        maps = functional.conv3d(shares[:, :, start:stop], share_weight, bias)
        for n in range(len(wide)):
            step = steps[n]
            part = wide[n][:, :, start : stop + 2 * step]
            maps = maps + functional.conv3d(
                part, near[n], padding=[0, step, step], dilation=[step, step, step]
            )
        state = functional.silu(maps.movedim(1, -1))
        for n in range(len(layers) // 4):
            scale, shift, weight, offset = layers[4 * n : 4 * n + 4]
            normed = functional.layer_norm(state, [state.size(-1)], scale, shift)
            state = state + functional.silu(functional.linear(normed, weight, offset))
        added = functional.linear(state, layers[-2], layers[-1]).movedim(-1, 1)
        centre = wide[0][:, :, start + 1 : stop + 1]
        straight = functional.conv3d(centre, line[:, :-1, None, None, None], line[:, -1])
        slabs.append(added + straight)
    return torch.cat(slabs, dim=2)


def _gaussian_means(images: torch.Tensor, kernel: torch.Tensor, halvings: int) -> torch.Tensor:
    """Convolved along each axis with zeros beyond the edges, at half the resolution or less."""
    sides: list[list[int]] = []
    for _ in range(halvings):
        i, j, k = images.size(2), images.size(3), images.size(4)
        sides.append([i, j, k])
        images = functional.pad(images, [0, k % 2, 0, j % 2, 0, i % 2])
        images = functional.avg_pool3d(images, [2, 2, 2])
    maps, taps = images.movedim(1, 0), kernel.size(0)  # One map an item: convolved alike.
    maps = functional.conv3d(maps, kernel.view(1, 1, taps, 1, 1), padding=[taps // 2, 0, 0])
    maps = functional.conv3d(maps, kernel.view(1, 1, 1, taps, 1), padding=[0, taps // 2, 0])
    maps = functional.conv3d(maps, kernel.view(1, 1, 1, 1, taps), padding=[0, 0, taps // 2])
    images = maps.movedim(0, 1)
    for n in range(halvings):
        i, j, k = sides[halvings - 1 - n]
        images = functional.interpolate(images, scale_factor=2.0, mode="trilinear")
        images = images[:, :, :i, :j, :k]
    return images


def _widths(sigma: float) -> list[float]:
    """The width at each halving of the resolution that `smooth` goes through."""
    widths = [sigma]
    while widths[-1] >= COARSE:
        widths.append(sqrt(widths[-1] ** 2 - 1) / 2)
    return widths


def _kernel_name(sigma: float) -> str:
    return f"gaussian_{sigma:g}".replace(".", "_")


def _gaussian(sigma: float) -> torch.Tensor:
    reach = ceil(3 * sigma)
    places = torch.arange(-reach, reach + 1, dtype=torch.float32)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    return weights / weights.sum()


def _rounded(images: torch.Tensor) -> torch.Tensor:
    """To the numbers that `Surroundings` keeps."""
    return images.half().to(images.dtype)


def _rimmed(plane: torch.Tensor, rim: int) -> torch.Tensor:
    return functional.pad(plane, [0, 0, 0, 0, rim, rim])
