"""Cycle GAN: two modalities, each made from the other, learned without pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from bids_synth.learn.data.batches import Item
from bids_synth.learn.networks.two_way import TwoWay
from bids_synth.learn.objectives.adversarial import (
    Health,
    build_discriminator,
    errors,
    gradient_penalty,
    resting,
)
from bids_synth.learn.objectives.losses import masked_l1
from bids_synth.learn.objectives.objective import Objective
from bids_synth.learn.objectives.pool import Pool
from bids_synth.learn.objectives.structure import structure_loss
from bids_synth.recipe.sections.objective import CycleGanPart


class CycleGan(Objective):
    """Zhu 2017 (arXiv:1703.10593): two generators, two discriminators, the way there and back.

    A batch is that of `UnpairedPatches`: row 0 is of one visit, row 1 of another. Direction 0
    reads the first modality and makes the second. All losses look inside the mask of the visit
    that was read. `structure` is ours: the local structure of an image must outlive its
    translation, which leaves the generators no freedom to move anatomy.
    """

    network: TwoWay

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.weights: CycleGanPart = self.recipe.objective  # type: ignore[assignment]
        part = self.weights.discriminator
        self.discriminators = nn.ModuleList(
            build_discriminator(self.recipe, part, maps=1, keep=False, seed=self.seed + 1 + row)
            for row in range(2)
        )
        self.pools = [Pool(self.weights.pool) for _ in range(2)]
        self.watch = [
            Health(self.weights.gan, f"the discriminator of {modality}")
            for modality in self.recipe.sources
        ]

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Of both generators, and of both discriminators."""
        rate = self.weights.discriminator.learning_rate
        return [*super().optimizers(), self.optimizer_of(self.discriminators, rate)]

    def losses(self, batch: Item) -> Iterator[torch.Tensor]:
        """That of the generators, then that of the discriminators."""
        rows = slice(0, 1), slice(1, 2)
        images = [batch["sources"][:, row] for row in rows]
        masks = [batch["mask"][:, row] for row in rows]
        both = [self._way(n, images[n], masks[n]) for n in (0, 1)]
        yield both[0][0] + both[1][0]
        if self.weights.adversarial > 0:
            # Direction 1 makes the first modality, which discriminator 0 knows.
            judged = [self._judged(n, images[n], both[1 - n][1]) for n in (0, 1)]
            yield judged[0] + judged[1]

    def _way(
        self, direction: int, image: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Losses of all that begins with an image of this direction's source; what it made."""
        weights, there, back = self.weights, direction, 1 - direction
        synthetic = self.network.translate(there, image).float() * mask
        loss = synthetic.new_zeros(())
        if weights.adversarial > 0:
            judge = self.discriminators[back]
            with resting(judge):
                logits = judge(synthetic)
            fooled = errors(logits, logits.new_ones(logits.shape[:2]), weights.gan).mean()
            loss = loss + weights.adversarial * fooled
        if weights.cycle > 0:
            again = self.network.translate(back, synthetic).float()
            loss = loss + weights.cycle * masked_l1(again, image, mask)
        if weights.identity > 0:
            same = self.network.translate(back, image).float()
            loss = loss + weights.identity * masked_l1(same, image, mask)
        if weights.structure > 0:
            loss = loss + weights.structure * structure_loss(image, synthetic, mask)
        return loss, synthetic.detach()

    def _judged(self, row: int, real: torch.Tensor, synthetic: torch.Tensor) -> torch.Tensor:
        """Loss of one discriminator on real images and on those of its pool."""
        weights, judge = self.weights, self.discriminators[row]
        penalty = weights.discriminator.gradient_penalty
        shown = real.clone()
        shown.requires_grad = penalty > 0
        truth, answer = judge(shown), judge(self.pools[row].exchange(synthetic))
        ones = truth.new_ones(truth.shape[:2])
        self.watch[row].add(truth, answer, ones)
        loss = errors(truth, ones, weights.gan).mean()
        loss = (loss + errors(answer, 0 * ones, weights.gan).mean()) / 2
        return loss + penalty * gradient_penalty(truth, shown) if penalty > 0 else loss

    def health(self) -> Mapping[str, float]:
        """Mean loss and accuracy of the discriminators over the epoch, and those of each."""
        closed = [watch.close() for watch in self.watch]
        figures = {name: (value + closed[1][name]) / 2 for name, value in closed[0].items()}
        for modality, each in zip(self.recipe.sources, closed, strict=True):
            figures |= {f"{name}_{modality}": value for name, value in each.items()}
        return figures

    def state(self) -> dict[str, Any]:
        """With pools and health."""
        pools, health = ([part.state() for part in parts] for parts in (self.pools, self.watch))
        return super().state() | {"pools": pools, "health": health}

    def resume(self, state: Mapping[str, Any]) -> None:
        """With pools and health."""
        super().resume(state)
        for pool, images in zip(self.pools, state["pools"], strict=True):
            pool.resume(images)
        for watch, figures in zip(self.watch, state["health"], strict=True):
            watch.resume(figures)
