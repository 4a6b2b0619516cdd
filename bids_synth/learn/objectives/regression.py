"""Regression: the network learns the expected image, by L1 and SSIM."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn

from bids_synth.learn.dataset import Item
from bids_synth.learn.losses import masked_l1, masked_l2, masked_ssim
from bids_synth.learn.schedule import averaging_decay, rate_factor
from bids_synth.recipe import ObjectivePart, Recipe


def regression_loss(synthetic: torch.Tensor, batch: Item, weights: ObjectivePart) -> torch.Tensor:
    """`l1` times L1, `l2` times L2, `ssim` times (1 - SSIM), over the withheld images alone.

    synthetic and batch["real"] are (N, T, I, J, K), batch["scored"] (N, T) says which count.
    """
    scored = batch["scored"]
    made = synthetic.float()[scored][:, None]
    real = batch["real"][scored][:, None]
    mask = batch["mask"].expand_as(batch["real"])[scored][:, None]
    loss = weights.l1 * masked_l1(made, real, mask)
    if weights.l2 > 0:
        loss = loss + weights.l2 * masked_l2(made, real, mask)
    if weights.ssim > 0:
        loss = loss + weights.ssim * (1 - masked_ssim(made, real, mask))
    return loss


class Regression(LightningModule):  # type: ignore[misc]
    """Network and its running average, optimised by AdamW; the average is what is kept."""

    def __init__(self, recipe: Recipe, network: nn.Module, steps: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.steps = steps
        self.network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.average = deepcopy(self.network).requires_grad_(requires_grad=False)

    def training_step(self, batch: Item, _: int) -> torch.Tensor:
        """Loss of one batch of patches."""
        synthetic = self.network(batch["sources"], batch["available"])
        return regression_loss(synthetic, batch, self.recipe.objective)

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the averaged weights towards the network's."""
        decay = averaging_decay(self.trainer.global_step, self.recipe.fit.ema)
        update_average(self.average, self.network, decay)

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with a rate that depends on the step alone."""
        fit = self.recipe.fit
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=fit.learning_rate, weight_decay=fit.weight_decay
        )
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: rate_factor(s, self.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * network, parameter by parameter."""
    for kept, fresh in zip(average.parameters(), network.parameters(), strict=True):
        kept.lerp_(fresh, 1 - decay)
