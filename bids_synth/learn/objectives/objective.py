"""Objective: what all ways to learn share: a network, its running average, optimisers, state."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from bids_synth.learn.data.dataset import Item
from bids_synth.learn.networks import laid_out
from bids_synth.recipe.recipe import Recipe


class Objective(nn.Module):
    """A generator, its running average (which is what is kept) and the losses of its players.

    A player is a set of parameters with an optimiser of its own; the generator is the first.
    """

    def __init__(self, recipe: Recipe, network: nn.Module, *, steps: int, seed: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.steps, self.seed = steps, seed
        self.steps_done = 0
        self.network = laid_out(network, recipe)
        self.average = deepcopy(self.network).requires_grad_(requires_grad=False)

    @abstractmethod
    def losses(self, batch: Item) -> Iterator[torch.Tensor]:
        """The loss of each player in turn; the next is computed when the one before has moved."""

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """One for each player, in the order of their losses."""
        return [self.optimizer_of(self.network, self.recipe.fit.learning_rate)]

    def optimizer_of(self, player: nn.Module, rate: float) -> torch.optim.Optimizer:
        """AdamW over the parameters that learn; `initial_lr` is the highest rate."""
        learning = [p for p in player.parameters() if p.requires_grad]
        fit = self.recipe.fit
        return torch.optim.AdamW(
            [{"params": learning, "initial_lr": rate}],
            lr=rate,
            betas=(fit.beta, 0.999),
            weight_decay=fit.weight_decay,
            fused=True,
        )

    def health(self) -> Mapping[str, float]:
        """Figures of the epoch that is over, for the curve; forgotten once they are told."""
        return {}

    def state(self) -> dict[str, Any]:
        """All that a resumed fit needs but the optimisers."""
        return {"steps_done": self.steps_done, "weights": self.state_dict()}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take it up."""
        self.steps_done = int(state["steps_done"])
        self.load_state_dict(state["weights"])


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * network, parameter by parameter.

    The first update of torch's `AveragedModel` copies, and so forgets what a fit begins from;
    its decay is the same for all steps.
    """
    for kept, fresh in zip(average.parameters(), network.parameters(), strict=True):
        kept.lerp_(fresh, 1 - decay)
