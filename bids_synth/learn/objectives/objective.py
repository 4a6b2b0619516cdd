"""Objective: what all ways to learn share: optimisers, rates, averaging, exact resumption."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn

from bids_synth.learn.data.dataset import Item
from bids_synth.learn.fit.distributed import agreed, average_gradients, rank
from bids_synth.learn.fit.finite import require_step
from bids_synth.learn.networks import laid_out
from bids_synth.learn.objectives.schedule import averaging_decay, rate_factor
from bids_synth.recipe.recipe import Recipe

CLIP = 1.0
"""Largest norm of the gradients of one player."""


@dataclass(frozen=True, eq=False)
class Player:
    """Parameters that are optimised together."""

    parameters: tuple[nn.Parameter, ...]
    learning_rate: float


class Objective(LightningModule):  # type: ignore[misc]
    """A generator, its running average (which is what is kept) and the players that learn.

    Every step begins from torch's random state of that very step, so that a resumed fit draws
    what an undisturbed one would have drawn. Optimisation is by hand: one step of one player
    looks the same whether there is one or there are four.
    """

    def __init__(self, recipe: Recipe, network: nn.Module, *, steps: int, seed: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.recipe = recipe
        self.steps, self.seed = steps, seed
        self.steps_done = 0
        self.network = laid_out(network, recipe)
        self.average = deepcopy(self.network).requires_grad_(requires_grad=False)

    def players(self) -> list[Player]:
        """Who learns; the generator first."""
        return [player_of(self.network.parameters(), self.recipe.fit.learning_rate)]

    @abstractmethod
    def learn(self, batch: Item) -> torch.Tensor:
        """One step of every player; the loss of the generator."""

    def health(self) -> Mapping[str, float]:
        """Figures of the epoch that is over, for the curve; forgotten once they are told."""
        return {}

    def training_step(self, batch: Item, _: int) -> torch.Tensor:
        """Learn from one batch, then move rates and the average."""
        own = self.steps_done + rank() * 2**40
        torch.manual_seed((self.seed * 1_000_003 + own) % 2**63)
        loss = self.learn(batch)
        self.steps_done += 1
        for entry in self.trainer.lr_scheduler_configs:
            entry.scheduler.step()
        decay = averaging_decay(self.steps_done, self.recipe.fit.ema)
        update_average(self.average, self.network, decay)
        return loss.detach()

    def descend(self, number: int, loss: torch.Tensor) -> None:
        """One optimiser step of player `number`, by the mean gradient of all processes.

        Raises DivergedError, the step not taken, where loss or gradient are NaN or infinite.
        """
        optimizer = self.trainer.optimizers[number]
        learning = optimizer.param_groups[0]["params"]
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        average_gradients(learning)
        norm = nn.utils.clip_grad_norm_(learning, CLIP)
        known = torch.isfinite(norm) & torch.isfinite(loss.detach()).all()
        if agreed(not bool(known)):  # Asked of all, so that none waits for one that has left.
            require_step(self.steps_done, loss, norm)
        optimizer.step()

    def configure_optimizers(self) -> tuple[list[Any], list[Any]]:
        """AdamW for each player, with a rate that depends on the step alone."""
        fit = self.recipe.fit
        optimizers = [
            torch.optim.AdamW(
                player.parameters,
                lr=player.learning_rate,
                betas=(fit.beta, 0.999),
                weight_decay=fit.weight_decay,
                fused=True,
            )
            for player in self.players()
        ]

        def factor(step: int) -> float:
            return rate_factor(step, self.steps, fit.decay)

        return optimizers, [torch.optim.lr_scheduler.LambdaLR(o, factor) for o in optimizers]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the number of the step."""
        checkpoint["steps_done"] = self.steps_done

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it up."""
        self.steps_done = int(checkpoint["steps_done"])


def player_of(parameters: Iterable[nn.Parameter], learning_rate: float) -> Player:
    """Those of the parameters that learn."""
    return Player(tuple(p for p in parameters if p.requires_grad), learning_rate)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * network, parameter by parameter."""
    for kept, fresh in zip(average.parameters(), network.parameters(), strict=True):
        kept.lerp_(fresh, 1 - decay)
