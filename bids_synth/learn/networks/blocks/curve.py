"""Curve: a piecewise linear function of a voxel's value, given by its knots."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

FARTHEST = 8.0
"""Scaled value that no image comes near."""
LEAST_STEP = 1e-4
"""Distance of two knots below which the curve would be a jump."""


def straight_line(knots: int) -> torch.Tensor:
    """(2, K): values and what becomes of them, here themselves as far as scaled images go."""
    return torch.linspace(-FARTHEST, FARTHEST, knots).repeat(2, 1)


def bend(images: torch.Tensor, curve: torch.Tensor) -> torch.Tensor:
    """Images of any shape through a curve (2, K), which is level beyond its ends.

    Steep ends that went on would make fluid and vessels brighter than anything that is real.
    Differentiable with respect to the images.
    """
    values, results = curve.to(images.dtype)
    slopes = results.diff() / values.diff()
    within = images.clamp(values[0], values[-1])
    number = torch.bucketize(within.detach().contiguous(), values[1:-1].contiguous())
    bent: torch.Tensor = results[number] + slopes[number] * (within - values[number])
    return bent


def matching_curve(
    source: npt.NDArray[np.floating], target: npt.NDArray[np.floating], *, falling: bool
) -> torch.Tensor:
    """The curve that gives images with the quantiles `source` the quantiles `target`.

    Both are quantiles at the same shares, which lie symmetrically about one half. `falling` where
    what is bright in one modality is dark in the other: the highest value becomes the lowest.
    """
    # Values that many voxels share are quantiles more than once: kept apart by a little.
    steps = np.maximum(np.diff(source), LEAST_STEP)
    values = np.concatenate([source[:1], source[0] + np.cumsum(steps)])
    results = target[::-1] if falling else target
    return torch.from_numpy(np.stack([values, results])).float()
