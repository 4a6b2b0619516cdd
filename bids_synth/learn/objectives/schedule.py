"""Schedule: how many steps an epoch has, and the learning rate and averaging of each step."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, pi

from bids_synth.recipe.recipe import Recipe

WARM = 0.05
"""Fraction of the steps over which the learning rate rises, at most 500 steps."""
FLOOR = 0.01
"""Final learning rate as a fraction of the highest."""


@dataclass(frozen=True)
class Schedule:
    """Whole epochs of equal length, so that a fit can only be interrupted between them."""

    epochs: int
    per_epoch: int
    """Optimiser steps of one epoch."""

    @property
    def steps(self) -> int:
        """Optimiser steps in total."""
        return self.epochs * self.per_epoch


def schedule_of(recipe: Recipe) -> Schedule:
    """At least `fit.steps` steps, in epochs of at most `fit.steps_per_epoch`.

    >>> from bids_synth.recipe.recipe import load_recipe
    >>> schedule_of(load_recipe("impute", {"fit.steps": "1000", "fit.steps_per_epoch": "300"}))
    Schedule(epochs=4, per_epoch=250)
    """
    epochs = ceil(recipe.fit.steps / recipe.fit.steps_per_epoch)
    return Schedule(epochs, ceil(recipe.fit.steps / epochs))


def rate_factor(step: int, steps: int, decay: str = "cosine") -> float:
    """Learning rate of a step as a fraction of the highest.

    `cosine` rises in a line, then falls by half a cosine; `linear` is constant for half of the
    steps, then falls in a line (Zhu 2017); `step` halves it after each third; or `constant`.

    >>> [round(rate_factor(s, 100), 2) for s in (0, 4, 52, 99)]
    [0.2, 1.0, 0.51, 0.01]
    >>> [round(rate_factor(s, 100, "linear"), 2) for s in (0, 50, 75, 99)]
    [1.0, 1.0, 0.5, 0.02]
    >>> [rate_factor(s, 90, "step") for s in (0, 29, 30, 60)]
    [1.0, 1.0, 0.5, 0.25]
    """
    if decay == "linear":
        return min(1.0, 2 * max(0.0, 1 - step / max(1, steps)))
    if decay == "step":
        return float(0.5 ** (3 * step // max(1, steps)))
    if decay == "constant":
        return 1.0
    warm = max(1, min(500, int(WARM * steps)))
    if step < warm:
        return (step + 1) / warm
    over = min(1.0, (step - warm) / max(1, steps - warm))
    return FLOOR + (1 - FLOOR) * (1 + cos(pi * over)) / 2


def averaging_decay(step: int, highest: float) -> float:
    """Decay of the averaged weights: short memory first, since early weights are poor.

    >>> [round(averaging_decay(s, 0.995), 3) for s in (0, 10, 10_000)]
    [0.1, 0.55, 0.995]
    """
    return min(highest, (1 + step) / (10 + step))
