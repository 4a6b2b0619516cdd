"""Layout: an axial slice as 2D maps, and sizes that can be halved often enough."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from bids_synth.errors import RecipeError


def as_slices(images: torch.Tensor) -> torch.Tensor:
    """(N, M, I, J, 1) -> (N, M, I, J); RecipeError where patches are more than one slice thick."""
    if images.ndim != 5 or images.shape[-1] != 1:
        message = (
            f"a 2D network got patches of {tuple(images.shape[2:])} voxels, expected one axial "
            "slice (I, J, 1): give the recipe a patch whose last length is 1"
        )
        raise RecipeError(message)
    return images[..., 0]


def padded(images: torch.Tensor, multiple: int) -> torch.Tensor:
    """Zeros after the end of each axis of space, up to the next multiple; no copy where even.

    >>> padded(torch.ones(1, 1, 5, 8), 4).shape
    torch.Size([1, 1, 8, 8])
    """
    extra = [-length % multiple for length in images.shape[2:]]
    if not any(extra):
        return images
    return functional.pad(images, [size for more in reversed(extra) for size in (0, more)])


def cropped(images: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """The first voxels of each axis of space: undoes `padded` for images of that shape.

    >>> cropped(torch.ones(1, 1, 8, 8), (5, 8)).shape
    torch.Size([1, 1, 5, 8])
    """
    wanted = tuple(slice(length) for length in shape)
    return images[(slice(None), slice(None), *wanted)]
