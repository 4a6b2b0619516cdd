"""Parts that several networks share: norms that look at one item alone, and last activations."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

import torch
from torch import nn

from bids_synth.errors import RecipeError

GROUPS = 8
"""Groups of a GroupNorm, fewer where the maps do not divide by it."""


class UnitTanh(nn.Module):
    """tanh brought from [-1, 1] to [0, 1], where scaled images live."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Any shape -> same shape."""
        return (torch.tanh(maps) + 1) / 2


class Nothing(nn.Module):
    """In the place of a body that has learned nothing and adds nothing."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, maps, I, J, K) -> zeros (N, 1, I, J, K)."""
        return torch.zeros_like(maps[:, :1])


OUTPUTS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": UnitTanh,
}
"""Name in recipes -> what a network does to its last maps."""


def output_of(name: str) -> nn.Module:
    """The last activation of that name; RecipeError for another name."""
    if name not in OUTPUTS:
        message = f"unknown output '{name}': expected one of {', '.join(OUTPUTS)}"
        raise RecipeError(message)
    return OUTPUTS[name]()


def norm_of(name: str, maps: int, dims: int) -> nn.Module:
    """A norm of 2D or 3D maps with statistics of each item alone.

    "instance" has no parameters, "group" a weight and a bias for each map, as many as the
    BatchNorm that it replaces; "none" changes nothing. RecipeError for another name.
    """
    if name == "instance":
        return nn.InstanceNorm3d(maps) if dims == 3 else nn.InstanceNorm2d(maps)
    if name == "group":
        return nn.GroupNorm(gcd(GROUPS, maps), maps)
    if name == "none":
        return nn.Identity()
    message = f"unknown norm '{name}': expected instance, group or none"
    raise RecipeError(message)


def level_widths(levels: int, filters: int) -> list[int]:
    """Maps of each level: doubled from level to level up to eight times the first.

    >>> level_widths(6, 64)
    [64, 128, 256, 512, 512, 512]
    """
    return [filters * min(2**level, 8) for level in range(levels)]
