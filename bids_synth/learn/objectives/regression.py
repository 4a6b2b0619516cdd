"""Regression: the network learns the expected image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from bids_synth.learn.data.batches import Item
from bids_synth.learn.objectives.objective import Objective
from bids_synth.learn.objectives.paired import emphasis_of, frozen_features, gains_of, paired_loss
from bids_synth.recipe.sections.objective import PairedLosses


class Regression(Objective):
    """One player, and losses between images of one visit."""

    def __init__(self, *arguments: Any, features: nn.Module | None = None, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.weights: PairedLosses = self.recipe.objective  # type: ignore[assignment]
        self.emphasis = emphasis_of(self.recipe, self.weights)
        self.gains = gains_of(self.recipe)
        self.features = frozen_features(self.weights, features)

    def losses(self, batch: Item) -> Iterator[torch.Tensor]:
        """The distance from the real images."""
        yield self.distance(self.network(batch["sources"], batch["available"]), batch)

    def distance(self, synthetic: torch.Tensor, batch: Item) -> torch.Tensor:
        """The weighted losses between what was made and what is real."""
        return paired_loss(
            synthetic,
            batch,
            self.weights,
            emphasis=self.emphasis,
            gains=self.gains,
            features=self.features,
        )
