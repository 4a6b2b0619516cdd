"""Unpaired: patches of two modalities, each from a visit drawn for it alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bids_synth.errors import UsageError
from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.data.augment import Change, draw_change
from bids_synth.learn.data.batches import Item, Items, by_participant
from bids_synth.learn.data.dataset import shuffled
from bids_synth.learn.data.patches import Start, paste
from bids_synth.recipe.recipe import Recipe


@dataclass(frozen=True)
class Half:
    """Everything that chance decides about the patch of one modality."""

    visit: int
    """Position of the visit among the training visits."""
    start: Start
    """First voxel of the patch."""
    change: Change
    """Flip and gains."""


class UnpairedPatches(Items):
    """Item number n of a fit without pairs: sources (2, I, J, K) and mask (2, I, J, K), float32.

    Row 0 is of the recipe's first modality, row 1 of its second, each from a visit, a place and
    a change of its own. A visit that has one of them alone is used for that one. Within each
    modality every participant comes equally often.
    """

    def __init__(self, recipe: Recipe, visits: Sequence[Stored], *, seed: int, total: int) -> None:
        super().__init__(recipe, visits, seed=seed, total=total)
        self._people = [self._having(modality) for modality in recipe.sources]

    def draws(self, numbers: Sequence[int]) -> list[tuple[Half, ...]]:
        """The chance of both rows of the items of these numbers."""
        return [tuple(self.draw(row, number) for row in range(2)) for number in numbers]

    def draw(self, row: int, index: int) -> Half:
        """The chance of one row of item `index`: a function of seed, row and number alone."""
        people = self._people[row]
        passed, place = divmod(index, len(people))
        order = shuffled((self.seed, 2, row, passed), len(people))
        rng = np.random.default_rng([self.seed, 3, row, index])
        number = int(rng.choice(people[order[place]]))
        visit = self.visits[number]
        start = visit.draw_window(rng, self.recipe.fit.patch)
        return Half(number, start, draw_change(self.recipe, rng))

    def apply(self, draws: Sequence[Sequence[Half]]) -> Item:
        """The images and masks that draws describe, (N, 2, I, J, K) each."""
        images, masks = (
            torch.zeros(len(draws), 2, *self.recipe.fit.patch, device=self.home) for _ in range(2)
        )
        for n, halves in enumerate(draws):
            for row, half in enumerate(halves):
                volumes, flip = self.volumes[half.visit], half.change.flip
                image = volumes.images[self.recipe.sources[row]]
                paste(images[n, row], image, half.start, flip=flip)
                images[n, row] *= half.change.gains[row]
                paste(masks[n, row], volumes.mask, half.start, flip=flip)
        return {"sources": images, "mask": masks}

    def _having(self, modality: str) -> list[list[int]]:
        """Visits with this modality by participant; UsageError where there is none."""
        having = [n for n, visit in enumerate(self.visits) if modality in visit.present]
        if not having:
            message = (
                f"no training visit has a {modality}; without pairs, recipe {self.recipe.name} "
                "still needs visits of each of its modalities"
            )
            raise UsageError(message)
        return by_participant(self.visits, having)
