"""Surroundings: what lies around a voxel, near by in detail and farther away in outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, sqrt

import torch
from torch.nn import functional

from bids_synth.spatial.boxes import Box, bounding_box

Offset = tuple[int, int, int]
CUBE: tuple[Offset, ...] = tuple(product((-1, 0, 1), repeat=3))  # type: ignore[arg-type]
CROSS: tuple[Offset, ...] = (
    *((0, 0, 0), (1, 0, 0), (-1, 0, 0)),
    *((0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)),
)


@dataclass(frozen=True)
class Level:
    """One scale at which a voxel's surroundings are read."""

    smoothing: float
    """Standard deviation of the Gaussian, voxels."""
    stride: int
    """Distance of neighbouring values, voxels."""
    offsets: tuple[Offset, ...]
    """Where values are read, in strides."""


LEVELS = (
    Level(0.0, 1, CUBE),
    Level(1.0, 2, CUBE),
    Level(2.0, 4, CUBE),
    Level(4.0, 8, CUBE),
    Level(8.0, 16, CROSS),
)
REACH = max(level.stride for level in LEVELS)
"""Voxels around the image that may be asked for."""
VALUES = sum(len(level.offsets) for level in LEVELS)
"""Values of one source around one voxel."""
CENTRE = CUBE.index((0, 0, 0))
"""Which of them is the voxel's own."""
SHARES = sum(level.smoothing > 0 for level in LEVELS)
"""How much of the neighbourhood lies inside, at every scale that has a width."""
KINDS = {1: torch.int16, 2: torch.int32, 4: torch.int64}
"""Sources that are read at once -> the number that as many float16 fill."""
PACKED = max(KINDS)
COARSE = 3.0
"""Standard deviation from which smoothing is done at half the resolution."""
LEAST_SHARE = 1e-2
GAP = 5
"""Voxels that a hole is at least wide."""


def width_of(sources: int) -> int:
    """Numbers that describe one voxel."""
    return VALUES * sources + SHARES


def mirrored() -> torch.Tensor:
    """(VALUES,): the order of the values as they are read left for right."""
    order, first = [], 0
    for level in LEVELS:
        order += [first + level.offsets.index((-i, j, k)) for i, j, k in level.offsets]
        first += len(level.offsets)
    return torch.tensor(order)


class Surroundings:
    """The images of one visit at every level, ready to be read around any of its voxels.

    images (S, I, J, K), inside (I, J, K) True where they count. Smoothed images are means over
    what is inside, gaps closed; all values outside are 0. Values are kept as float16.
    """

    def __init__(self, images: torch.Tensor, inside: torch.Tensor) -> None:
        self.sources = len(images)
        mask = closed(inside.to(torch.uint8)[None]).to(images.dtype)
        self.inside = mask[0] > 0
        self.steps = _steps([n + 2 * REACH for n in images.shape[1:]], images.device)
        shown = images * mask
        self.planes: list[list[torch.Tensor]] = []
        self.shares: list[torch.Tensor] = []
        for level in LEVELS:
            if level.smoothing == 0:
                self.planes.append(_packed(shown))
                continue
            share = smooth(mask, level.smoothing)
            means = smooth(shown, level.smoothing).div_(share.clamp_min(LEAST_SHARE))
            self.planes.append(_packed(means.mul_(mask)))
            self.shares.append(share[0])

    # Autocast cannot join float16, in which the values are kept, while it casts to bfloat16.
    @torch.autocast("cpu", enabled=False)  # type: ignore[untyped-decorator]
    @torch.autocast("cuda", enabled=False)  # type: ignore[untyped-decorator]
    def at(self, voxels: torch.Tensor) -> torch.Tensor:
        """Indices (V, 3) -> (V, width): the values, sources last, then the shares, float32."""
        home = ((voxels + REACH) * self.steps).sum(dim=1)[:, None]
        result = self.shares[0].new_empty(len(voxels), width_of(self.sources))
        first = 0
        for level, planes in zip(LEVELS, self.planes, strict=True):
            shift = torch.tensor(level.offsets, device=voxels.device) * level.stride
            where = (home + (shift * self.steps).sum(dim=1)).flatten()
            count = len(level.offsets) * self.sources
            values = torch.cat([_read(plane, where) for plane in planes], dim=1)
            values = values[:, : self.sources].reshape(-1, count)
            result[:, first : first + count] = values
            first += count
        i, j, k = voxels.unbind(dim=1)
        for n, share in enumerate(self.shares):
            result[:, n - SHARES] = share[i, j, k]
        return result


def roomy_box(inside: torch.Tensor) -> Box:
    """The box of what is inside, so wide that nothing beyond it is asked for.

    A window may be far larger than what is in it. It begins at even voxels, since wide means are
    taken over pairs of them.
    """
    tight = bounding_box(inside.cpu().numpy())
    return tuple(slice(max(0, (s.start - GAP) // 2 * 2), s.stop + GAP) for s in tight)


def closed(masks: torch.Tensor) -> torch.Tensor:
    """Masks (N, I, J, K) of 0 and 1 without gaps narrower than GAP voxels.

    Images say where they count by values other than 0, and tissue may have just that value.
    """
    reach = GAP // 2
    for chosen, beyond in ((torch.maximum, 0), (torch.minimum, 1)):
        for axis in (1, 2, 3):
            wide = functional.pad(masks, _sides(axis, reach), value=beyond)
            length = masks.shape[axis]
            # Torch pools a single map in slow loops.
            for tap in range(GAP):
                masks = chosen(masks, wide.narrow(axis, tap, length))
    return masks


def smooth(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian means of images (N, I, J, K), `sigma` in voxels, with zeros beyond the edges.

    Wide ones are taken at half the resolution: halving and going back add a variance of one.
    """
    if sigma < COARSE:
        return _smooth_axes(images, sigma)
    sides = images.shape[1:]
    odd = [pad for n in reversed(sides) for pad in (0, n % 2)]
    small = functional.avg_pool3d(functional.pad(images, odd)[:, None], 2)
    small = smooth(small[:, 0], sqrt(sigma**2 - 1) / 2)
    large = functional.interpolate(small[:, None], scale_factor=2, mode="trilinear")
    i, j, k = sides
    return large[:, 0, :i, :j, :k]


def _smooth_axes(images: torch.Tensor, sigma: float) -> torch.Tensor:
    reach = ceil(3 * sigma)
    places = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    weights = weights / weights.sum()
    for axis in (1, 2, 3):
        length = images.shape[axis]
        wide = functional.pad(images, _sides(axis, reach))
        # Torch convolves a single map in slow loops.
        first, *others = weights.tolist()
        images = wide.narrow(axis, 0, length) * first
        for tap, weight in enumerate(others, 1):
            images.add_(wide.narrow(axis, tap, length), alpha=weight)
    return images


def _sides(axis: int, reach: int) -> list[int]:
    """What `functional.pad` takes to pad one axis of (N, I, J, K) at both ends."""
    sides = [0] * 6
    sides[6 - 2 * axis : 8 - 2 * axis] = [reach, reach]
    return sides


def _steps(sides: Sequence[int], device: torch.device) -> torch.Tensor:
    return torch.tensor([sides[1] * sides[2], sides[2], 1], device=device)


def _packed(images: torch.Tensor) -> list[torch.Tensor]:
    """(S, I, J, K) -> one flat array of `KINDS` for every four sources, with a rim of zeros."""
    wide = functional.pad(images.half(), [REACH] * 6)
    return [_joined(part) for part in torch.split(wide, PACKED)]


def _joined(images: torch.Tensor) -> torch.Tensor:
    """(S, I, J, K) of float16, S up to `PACKED` -> (I J K,) of the number that holds them."""
    lanes = next(lanes for lanes in KINDS if lanes >= len(images))
    padded = functional.pad(images, [*[0] * 6, 0, lanes - len(images)])
    return padded.permute(1, 2, 3, 0).contiguous().view(KINDS[lanes]).flatten()


def _read(plane: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """What was joined, at flat indices (V,) -> (V, lanes) of float16."""
    return plane.index_select(0, where)[:, None].view(torch.float16)
