"""Absent: what a network is given in place of the images that a visit lacks."""

from __future__ import annotations

from collections.abc import Callable

import torch

from bids_synth.errors import RecipeError

SEED = 0
"""Of the noise that stands in for absent images outside of fitting."""


def fill_absent(
    images: torch.Tensor, available: torch.Tensor, imputation: str, *, fresh: bool
) -> torch.Tensor:
    """Images with a stand-in wherever `available` is 0.

    images (N, S, I, J, K) in scaled numbers, available (N, S) of 0 and 1. The stand-in is 0, the
    mean of the item's available images, or noise, uniform in [0, 1]: drawn anew where `fresh`,
    otherwise the same for every call, device and item. RecipeError for another imputation.
    """
    if imputation not in IMPUTATIONS:
        message = f"unknown imputation '{imputation}': expected one of {', '.join(IMPUTATIONS)}"
        raise RecipeError(message)
    there = spread(available, images)
    return torch.where(there, images, IMPUTATIONS[imputation](images, there, fresh))


def keep_available(
    synthetic: torch.Tensor, images: torch.Tensor, available: torch.Tensor
) -> torch.Tensor:
    """Synthetic images (N, S, I, J, K), replaced by the real ones where those are available.

    The implicit conditioning of MM-GAN (Sharma 2020, doi:10.1109/TMI.2019.2945521).
    """
    return torch.where(spread(available, images), images.to(synthetic.dtype), synthetic)


def spread(available: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """available (N, S) as true or false, (N, S, 1, 1, 1), ready to meet the images."""
    return available.bool()[(..., *(None,) * (images.ndim - 2))]


def _zeros(images: torch.Tensor, there: torch.Tensor, fresh: bool) -> torch.Tensor:  # noqa: ARG001, FBT001
    return torch.zeros_like(images[:1, :1])


def _average(images: torch.Tensor, there: torch.Tensor, fresh: bool) -> torch.Tensor:  # noqa: ARG001, FBT001
    total = torch.where(there, images, torch.zeros_like(images)).sum(dim=1, keepdim=True)
    return total / there.sum(dim=1, keepdim=True).clamp_min(1)


def _noise(images: torch.Tensor, there: torch.Tensor, fresh: bool) -> torch.Tensor:  # noqa: ARG001, FBT001
    if fresh:
        return torch.rand_like(images)
    if images.device.type == "meta":
        return torch.zeros_like(images[:1])
    # Drawn on the processor: the same numbers whatever device the network is on.
    generator = torch.Generator(device="cpu").manual_seed(SEED)
    drawn = torch.rand(images.shape[1:], generator=generator, device="cpu")
    return drawn.to(images.device, images.dtype)[None]


IMPUTATIONS: dict[str, Callable[[torch.Tensor, torch.Tensor, bool], torch.Tensor]] = {
    "zeros": _zeros,
    "average": _average,
    "noise": _noise,
}
"""Name in recipes -> function of images, which of them are there, and whether to draw anew."""
