"""Conditional GAN: a discriminator that sees the sources beside what was made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from bids_synth.learn.data.batches import Item
from bids_synth.learn.objectives.adversarial import (
    Health,
    build_discriminator,
    errors,
    gradient_penalty,
    mean_where,
    resting,
)
from bids_synth.learn.objectives.regression import Regression
from bids_synth.recipe.sections.objective import AdversarialPart


@dataclass(frozen=True, eq=False)
class Marks:
    """What a discriminator ought to answer for one batch, (N, O) each."""

    labels: torch.Tensor
    """Its answers to the candidate that was made: 1 for a map that is real."""
    counted: torch.Tensor
    """Maps that count when it learns."""
    watched: torch.Tensor
    """Maps by which its health is told: those that were really made."""


class ConditionalGan(Regression):
    """Losses between images of one visit, and a discriminator of pairs (Isola 2017).

    The discriminator is shown the network's inputs, 0 where absent, beside the candidate, all
    targets of which the one to be judged is synthetic or real; targets that are not scored are 0
    in both, and so is everything outside the mask. It is never shown a real target beside a
    synthetic one. Until `start` it neither learns nor counts.
    """

    keep = False
    """Whether the tail of the discriminator keeps the size of its maps."""

    weights: AdversarialPart

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.discriminator = build_discriminator(
            self.recipe,
            self.weights.discriminator,
            maps=self.condition_maps + len(self.recipe.targets),
            outputs=self.outputs,
            keep=self.keep,
            seed=self.seed + 1,
        )
        self.watch = Health(self.weights.gan)

    @property
    def condition_maps(self) -> int:
        """Images that the discriminator is shown beside the candidate."""
        return len(self.recipe.inputs)

    @property
    def outputs(self) -> int:
        """Maps of judgements."""
        return 1

    @property
    def plays(self) -> bool:
        """True in the steps in which the discriminator learns and counts."""
        return self.weights.adversarial > 0 and self.steps_done >= self.weights.start * self.steps

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Of the generator and of the discriminator."""
        rate = self.weights.discriminator.learning_rate
        return [*super().optimizers(), self.optimizer_of(self.discriminator, rate)]

    def condition(self, batch: Item) -> torch.Tensor:
        """What is shown beside every candidate: (N, maps, I, J, K)."""
        return batch["sources"]

    def candidate(self, batch: Item, targets: torch.Tensor) -> torch.Tensor:
        """Targets (N, T, I, J, K) as the discriminator sees them: scored ones, in the mask."""
        scored = batch["scored"][:, :, None, None, None]
        return torch.where(
            scored, targets.float() * batch["mask"], torch.zeros_like(batch["real"])
        )

    def marks(self, batch: Item) -> Marks:
        """Real is real and synthetic is not."""
        ones = torch.ones_like(batch["scored"][:, :1], dtype=torch.float32)
        return Marks(0 * ones, ones, ones)

    def judge(self, batch: Item, candidate: torch.Tensor) -> torch.Tensor:
        """Judgements (N, O, i, j, k) of a candidate beside its condition."""
        shown = torch.cat([self.condition(batch), candidate.to(batch["sources"].dtype)], dim=1)
        logits: torch.Tensor = self.discriminator(shown)
        return logits

    def losses(self, batch: Item) -> Iterator[torch.Tensor]:
        """That of the generator, then that of the discriminator on the same image."""
        synthetic = self.network(batch["sources"], batch["available"])
        loss = self.distance(synthetic, batch)
        if not self.plays:
            yield loss
            return
        marks = self.marks(batch)
        with resting(self.discriminator):
            logits = self.judge(batch, self.candidate(batch, synthetic))
        doubts = errors(logits, torch.ones_like(marks.counted), self.weights.gan)
        yield loss + self.weights.adversarial * mean_where(doubts, marks.counted)
        yield self._discrimination(batch, synthetic.detach(), marks)

    def _discrimination(self, batch: Item, synthetic: torch.Tensor, marks: Marks) -> torch.Tensor:
        """Loss of the discriminator on a real and a synthetic candidate."""
        weight, gan = self.weights.discriminator.gradient_penalty, self.weights.gan
        real = self.candidate(batch, batch["real"])
        real.requires_grad = weight > 0
        truth = self.judge(batch, real)
        answer = self.judge(batch, self.candidate(batch, synthetic))
        self.watch.add(truth, answer, marks.watched)
        ones = torch.ones_like(marks.counted)
        loss = mean_where(errors(truth, ones, gan), marks.counted)
        loss = (loss + mean_where(errors(answer, marks.labels, gan), marks.counted)) / 2
        return loss + weight * gradient_penalty(truth, real) if weight > 0 else loss

    def health(self) -> Mapping[str, float]:
        """Loss and accuracy of the discriminator over the epoch."""
        return self.watch.close()

    def state(self) -> dict[str, Any]:
        """With the health of the discriminator."""
        return super().state() | {"health": self.watch.state()}

    def resume(self, state: Mapping[str, Any]) -> None:
        """With the health of the discriminator."""
        super().resume(state)
        self.watch.resume(state["health"])
