"""Adversarial: what a discriminator answers, what both players make of it, and its health."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import log

import torch
from torch import nn
from torch.nn import functional

from bids_synth.learn.fit.distributed import divisor
from bids_synth.learn.networks import laid_out
from bids_synth.learn.networks.discriminator import PatchDiscriminator
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.objective import DiscriminatorPart

LOG = logging.getLogger(__name__)
DEAD = {"lsgan": 0.25, "vanilla": log(2)}
"""Loss of a discriminator that answers the same to everything."""
HALF = {"lsgan": 0.5, "vanilla": 0.0}
"""Answer above which a patch is taken for real."""
SURE = 0.99
"""Accuracy above which a discriminator teaches nothing, since no change would convince it."""
NEAR = 0.98
"""Fraction of the dead loss from which on it counts as dead."""
PATIENCE = 3
"""Epochs in a row after which it is told."""


def errors(logits: torch.Tensor, labels: torch.Tensor, gan: str) -> torch.Tensor:
    """Squared distance from the labels (Mao 2017) or cross-entropy (Goodfellow 2014), unreduced.

    logits (N, O, i, j, k); labels (N, O), 1 for real and 0 for synthetic. In float32.
    """
    wanted = _over(labels, logits).float()
    if gan == "lsgan":
        return (logits.float() - wanted) ** 2
    return functional.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none")


def mean_where(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Mean of (N, O, i, j, k) over the maps that (N, O) counts; 0 where it counts none."""
    weight = _over(counted, values).float()
    return (values * weight).sum() / divisor(weight)


def gradient_penalty(logits: torch.Tensor, candidate: torch.Tensor) -> torch.Tensor:
    """R1 (Mescheder 2018, arXiv:1801.04406): half the mean squared gradient at real images.

    The gradient of the sum of an item's judgements, divided by their number: for patches that
    do not overlap it is the mean over patches of the penalty of each.
    """
    (slope,) = torch.autograd.grad(logits.float().sum(), candidate, create_graph=True)
    judgements = logits[0].numel()
    return 0.5 * slope.float().square().flatten(1).sum(dim=1).mean() / judgements


@contextmanager
def resting(player: nn.Module) -> Iterator[None]:
    """What is computed inside leaves no gradients in the parameters of this player."""
    learning = [p for p in player.parameters() if p.requires_grad]
    for parameter in learning:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad = True


def build_discriminator(
    recipe: Recipe, part: DiscriminatorPart, *, maps: int, outputs: int = 1, keep: bool, seed: int
) -> nn.Module:
    """A discriminator of `maps` images with weights from the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PatchDiscriminator(
            maps=maps,
            outputs=outputs,
            spatial_dims=2 if recipe.dimension == "2D" else 3,
            layers=part.layers,
            tail=part.tail,
            filters=part.filters,
            norm=part.norm,
            spectral=part.spectral,
            keep=keep,
            initial=part.initial,
        )
    return laid_out(network, recipe)


@dataclass
class Health:
    """Loss and accuracy of one discriminator, epoch by epoch, and a warning when it is dead."""

    gan: str
    title: str = "the discriminator"
    dead_epochs: int = 0
    """Epochs in a row in which it taught nothing."""
    warned: bool = False
    """True once the warning has been given."""
    _steps: list[torch.Tensor] = field(default_factory=list, repr=False)
    """Loss, accuracy and whether any map counted, (steps, 3)."""

    @torch.no_grad()
    def add(self, real: torch.Tensor, synthetic: torch.Tensor, counted: torch.Tensor) -> None:
        """Note the answers to real and to synthetic images, where (N, O) counts them."""
        ones, half = torch.ones_like(counted, dtype=torch.float32), HALF[self.gan]
        losses = mean_where(errors(real, ones, self.gan), counted)
        losses = losses + mean_where(errors(synthetic, 0 * ones, self.gan), counted)
        right = mean_where((real > half).float(), counted)
        right = right + mean_where((synthetic < half).float(), counted)
        # Whether any counts is asked when the epoch is over: an answer would wait for the card.
        any_counts = counted.any().to(losses.dtype)
        self._steps.append(torch.stack([losses / 2, right / 2, any_counts])[None])

    def close(self) -> dict[str, float]:
        """Mean loss and accuracy of the epoch that is over; nothing where it did not learn."""
        steps = self._counted()
        self._steps.clear()
        if not len(steps):
            return {}
        loss, accuracy = steps.mean(dim=0).tolist()
        sure, blind = accuracy > SURE, loss >= NEAR * DEAD[self.gan]
        self.dead_epochs = self.dead_epochs + 1 if sure or blind else 0
        if self.dead_epochs >= PATIENCE and not self.warned:
            self.warned = True
            LOG.warning("%s", self._warning(loss, accuracy))
        return {"discriminator_loss": loss, "discriminator_accuracy": accuracy}

    def state(self) -> list[float]:
        """What a resumed fit needs to go on, also in mid-epoch."""
        return [self.dead_epochs, int(self.warned), *self._counted().flatten().tolist()]

    def resume(self, state: Sequence[float]) -> None:
        """Take it up."""
        self.dead_epochs, self.warned = int(state[0]), bool(state[1])
        steps = torch.tensor(state[2:]).reshape(-1, 2)
        self._steps = [functional.pad(steps, (0, 1), value=1.0)]

    def _counted(self) -> torch.Tensor:
        """Loss and accuracy (steps, 2) of those steps of the epoch in which any map counted."""
        steps = torch.cat([torch.empty(0, 3), *(step.cpu() for step in self._steps)])
        return steps[steps[:, 2] > 0, :2]

    def _warning(self, loss: float, accuracy: float) -> str:
        figures = f"loss {loss:.3f}, accuracy {accuracy:.3f}"
        if accuracy > SURE:
            return (
                f"{self.title} has told real from synthetic without fail for {PATIENCE} epochs "
                f"({figures}): its gradients teach nothing; lower "
                "objective.discriminator.learning_rate, or set objective.discriminator.spectral "
                "or a gradient_penalty"
            )
        return (
            f"{self.title} has for {PATIENCE} epochs been no better than one that answers the "
            f"same to everything ({figures}; a dead one's loss is {DEAD[self.gan]:.3f}): raise "
            "objective.discriminator.learning_rate or filters, or lower its gradient_penalty"
        )


def _over(labels: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return labels[(..., *(None,) * (logits.ndim - labels.ndim))].expand_as(logits)
