"""Structure: local self-similarity, by which images of two modalities can be compared."""

from __future__ import annotations

from math import exp

import torch
from torch.nn import functional

from bids_synth.learn.fit.distributed import divisor

SIGMA = 0.5
"""Width in voxels of the Gaussian over a neighbourhood."""
BOUNDS = 1e-3, 1e3
"""Local variance is kept within these multiples of its mean."""
LEAST = 1e-6
"""Squared difference of scaled intensities that is noise at best."""


def structure_loss(one: torch.Tensor, other: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of the descriptors of two images inside the mask.

    All are (N, 1, I, J, K), or (N, 1, I, J, 1) for slices. 0 for images that are the same up to
    gain and offset, whatever the sign of the gain; 1 at most. Differentiable in both images.
    """
    with torch.autocast(one.device.type, enabled=False):
        difference = (descriptors(one.float()) - descriptors(other.float())).abs()
        weight = mask.float().expand_as(difference)
        return (difference * weight).sum() / divisor(weight)


def descriptors(image: torch.Tensor) -> torch.Tensor:
    """MIND (Heinrich 2012, doi:10.1016/j.media.2012.05.008): (N, R, I, J, K), values in (0, 1].

    For each neighbour of a voxel, 6 in a volume and 4 in a slice, the negative exponential of
    the distance between the two neighbourhoods over the local variance, which is the mean of
    those distances; the largest value of every voxel is brought to 1.
    """
    axes = [axis for axis in (2, 3, 4) if image.shape[axis] > 1]
    moves = [(axis, way) for axis in axes for way in (-1, 1)]
    apart = [_blurred((image - _moved(image, *move)) ** 2, axes) for move in moves]
    distances = torch.cat(apart, dim=1)
    variance = distances.mean(dim=1, keepdim=True)
    usual = variance.detach().mean(dim=(1, 2, 3, 4), keepdim=True)
    low, high = ((usual * bound).clamp_min(LEAST) for bound in BOUNDS)
    variance = torch.minimum(torch.maximum(variance, low), high)
    nearest = distances.min(dim=1, keepdim=True).values
    return torch.exp(-(distances - nearest) / variance)


def _moved(image: torch.Tensor, axis: int, way: int) -> torch.Tensor:
    """The image moved by one voxel along an axis; the edge is repeated."""
    length = image.shape[axis]
    pad = [0] * 6
    pad[2 * (4 - axis) + (way < 0)] = 1
    longer = functional.pad(image, pad, mode="replicate")
    return longer.narrow(axis, 0 if way > 0 else 1, length)


def _blurred(image: torch.Tensor, axes: list[int]) -> torch.Tensor:
    side = exp(-0.5 / SIGMA**2)
    for axis in axes:
        beside = _moved(image, axis, 1) + _moved(image, axis, -1)
        image = (image + side * beside) / (1 + 2 * side)
    return image
