"""Any-missing GAN: the discriminator knows which images were given, and judges each target."""

from __future__ import annotations

import torch

from bids_synth.learn.data.batches import Item
from bids_synth.learn.objectives.conditional_gan import ConditionalGan, Marks


class AnyMissingGan(ConditionalGan):
    """MM-GAN (Sharma and Hamarneh 2020, doi:10.1109/TMI.2019.2945521), its condition mended.

    Implicit conditioning: images that were given stand in the candidate as they were given, so
    that discriminator and losses judge only what had to be made; the discriminator ought to call
    those maps real and the others synthetic, each by a map of judgements of its own. Its
    condition is the sources and one map of ones or zeros for each that says whether it is there;
    the published code of a successor showed it the real targets instead, and so it learned only
    to compare. Maps of targets that the visit does not have count for nothing.
    """

    keep = True

    @property
    def condition_maps(self) -> int:
        """Inputs, and whether each is there."""
        return 2 * len(self.recipe.inputs)

    @property
    def outputs(self) -> int:
        """One for each target."""
        return len(self.recipe.targets)

    def condition(self, batch: Item) -> torch.Tensor:
        """(N, 2 S, I, J, K): the inputs, 0 where absent, then their availability."""
        images = batch["sources"]
        there = batch["available"][:, :, None, None, None].to(images.dtype)
        return torch.cat([images, there.expand_as(images)], dim=1)

    def candidate(self, batch: Item, targets: torch.Tensor) -> torch.Tensor:
        """What was given as it was given, and what was scored from `targets`; else 0."""
        answer = super().candidate(batch, targets)
        available = self._available(batch)[:, :, None, None, None]
        return torch.where(available, self._as_targets(batch["sources"]).to(answer.dtype), answer)

    def marks(self, batch: Item) -> Marks:
        """Given maps are real in every candidate, scored ones where they are."""
        available, scored = self._available(batch), batch["scored"]
        return Marks(available.float(), (available | scored).float(), scored.float())

    def _available(self, batch: Item) -> torch.Tensor:
        return self._as_targets(batch["available"]) > 0

    def _as_targets(self, sources: torch.Tensor) -> torch.Tensor:
        """(N, S, ...) -> (N, T, ...): the source of the same modality, 0 where it is none."""
        recipe = self.recipe
        rows = [recipe.sources.index(t) if t in recipe.sources else -1 for t in recipe.targets]
        nothing = torch.zeros_like(sources[:, :1])
        parts = [sources[:, row : row + 1] if row >= 0 else nothing for row in rows]
        return torch.cat(parts, dim=1)
