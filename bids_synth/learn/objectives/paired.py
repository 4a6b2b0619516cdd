"""Paired: the losses between a synthetic and the real image, with the recipe's weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from bids_synth.errors import RecipeError
from bids_synth.learn.data.batches import Item
from bids_synth.learn.fit.distributed import share
from bids_synth.learn.objectives.losses import masked_bce, masked_l1, masked_l2, masked_ssim
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.objective import PairedLosses

Scored = tuple[torch.Tensor, ...]
"""Items and targets (M,) each, of the images that are to be made."""


def paired_loss(
    synthetic: torch.Tensor,
    batch: Item,
    weights: PairedLosses,
    *,
    emphasis: torch.Tensor | None = None,
    gains: torch.Tensor | None = None,
    features: nn.Module | None = None,
) -> torch.Tensor:
    """The weighted losses of the images that are to be made, and of no other.

    synthetic and batch["real"] are (N, T, I, J, K), batch["scored"] (N, T) says which count;
    `emphasis` (T, 2) holds for each target the scaled value above which a voxel's error is
    multiplied, and the factor. `gains` (T,) are those of logarithms, whose errors are multiplied
    by the real value, so that l1 and l2 are errors in the unit; NaN for others.
    `features` maps (M, 1, I, J, K) to a list of maps.
    """
    # Asked once: how many there are is an answer that the processor waits for.
    scored = batch["scored"].nonzero(as_tuple=True)
    answer = synthetic.float()[scored][:, None]
    real = batch["real"][scored][:, None]
    mask = batch["mask"].expand_as(batch["real"])[scored][:, None]
    weight = mask if emphasis is None else mask * _factor(real, scored, emphasis)
    value = 1 if gains is None else _value(real, scored, gains)
    loss = weights.l1 * masked_l1(answer * value, real * value, weight)
    if weights.l2 > 0:
        loss = loss + weights.l2 * masked_l2(answer * value, real * value, weight)
    if weights.ssim > 0:
        loss = loss + weights.ssim * (1 - masked_ssim(answer, real, mask))
    if weights.bce > 0:
        loss = loss + weights.bce * masked_bce(answer, real, mask)
    if features is not None and weights.features > 0:
        pairs = zip(features(answer * mask), features(real * mask), strict=True)
        loss = loss + weights.features * sum(
            share(a.numel()) * (a - b).abs().mean() for a, b in pairs
        )
    return loss


def frozen_features(weights: PairedLosses, features: nn.Module | None) -> nn.Module | None:
    """The network whose features are compared, which does not learn.

    Raises RecipeError where the recipe weighs features and no network for them was given.
    """
    if weights.features > 0 and features is None:
        message = (
            f"objective.features: is {weights.features}, but there is no network for "
            f"objective.features_from = '{weights.features_from}'; set features to 0"
        )
        raise RecipeError(message)
    return None if features is None else features.eval().requires_grad_(requires_grad=False)


def emphasis_of(recipe: Recipe, weights: PairedLosses) -> torch.Tensor | None:
    """(T, 2): the scaled value above which a voxel is emphasised, and the factor; or None.

    A target in arbitrary units is emphasised by its scaled numbers, any other by its unit.
    """
    if weights.emphasis.weight == 1:
        return None
    above, rows = weights.emphasis.above, []
    for target in recipe.targets:
        scale = recipe.shared_scale(target)
        scaled = above if scale is None else float(scale.apply(np.array([above]))[0])
        rows.append((scaled, weights.emphasis.weight))
    return torch.tensor(rows)


def gains_of(recipe: Recipe) -> torch.Tensor | None:
    """(T,): the gain of each target whose logarithm is scaled, NaN for others; None for none."""
    gains = [recipe.log_gain(target) for target in recipe.targets]
    if not any(gains):
        return None
    return torch.tensor([float("nan") if gain is None else gain for gain in gains])


def _value(real: torch.Tensor, scored: Scored, gains: torch.Tensor) -> torch.Tensor:
    gain = gains.to(real.device)[scored[1]][:, None, None, None, None]
    return torch.where(gain.isnan(), 1, torch.exp(gain.nan_to_num() * (real - 1)))


def _factor(real: torch.Tensor, scored: Scored, emphasis: torch.Tensor) -> torch.Tensor:
    own = emphasis.to(real.device)[scored[1]][:, :, None, None, None, None]
    above, factor = own.unbind(dim=1)
    return torch.where(real > above, factor, torch.ones_like(factor))
