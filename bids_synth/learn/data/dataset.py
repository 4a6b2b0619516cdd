"""Dataset: the endless row of random patches, each a pure function of seed and number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from bids_synth.errors import UsageError
from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.data.augment import Change, amplify, bent, draw_bends, draw_change, mirror
from bids_synth.learn.data.auxiliary_inputs import auxiliary_names
from bids_synth.learn.data.patches import Start, cut
from bids_synth.learn.data.scenarios import Scenario, draw_scenario
from bids_synth.recipe.recipe import Recipe

Item = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Draw:
    """Everything that chance decides about one patch."""

    visit: int
    """Position of the visit among the training visits."""
    start: Start
    """First voxel of the patch."""
    change: Change
    """Flip and gains."""
    scenario: Scenario
    """Which images are given and which are scored."""


class Patches(Dataset[Item]):
    """Item number n of a fit: source images, availability, real targets, mask.

    sources (S, I, J, K) with the extras behind them, available (S,), real (T, I, J, K),
    scored (T,), mask (1, I, J, K), all float32 but `scored`, which is bool. Images that are
    absent or withheld are 0.
    """

    def __init__(self, recipe: Recipe, visits: Sequence[Stored], *, seed: int, total: int) -> None:
        self.recipe = recipe
        self.visits = [v for v in visits if any(task.real for task in recipe.tasks(v.present))]
        self.seed = seed
        self.total = total
        if not self.visits:
            message = (
                f"no training visit has a target of {', '.join(recipe.targets)} and at least "
                f"{recipe.minimum} other source(s); nothing can be learned from this dataset"
            )
            raise UsageError(message)
        people = sorted({v.participant for v in self.visits})
        self._people = [
            [n for n, v in enumerate(self.visits) if v.participant == p] for p in people
        ]

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, index: int) -> Item:
        return self.apply(self.draw(index))

    def draw(self, index: int) -> Draw:
        """The chance of item `index`: every participant equally often, then its visits."""
        number, rng = self.draw_visit(index)
        visit = self.visits[number]
        start = visit.draw_window(rng, self.recipe.fit.patch)
        change = draw_change(self.recipe, rng)
        change = replace(change, bends=draw_bends(self.recipe, rng))
        progress = index / self.total
        return Draw(
            number, start, change, draw_scenario(self.recipe, visit.present, progress, rng)
        )

    def draw_visit(self, index: int) -> tuple[int, np.random.Generator]:
        """The visit of item `index`, and the generator of all else that chance decides of it."""
        passed, place = divmod(index, len(self._people))
        order = np.random.default_rng([self.seed, 0, passed]).permutation(len(self._people))
        rng = np.random.default_rng([self.seed, 1, index])
        return int(rng.choice(self._people[order[place]])), rng

    def apply(self, draw: Draw) -> Item:
        """The patch that a draw describes."""
        recipe, visit = self.recipe, self.visits[draw.visit]
        patch = recipe.fit.patch

        def stack(names: Sequence[str], kept: Sequence[str]) -> np.ndarray:
            result = np.zeros((len(names), *patch), dtype=np.float32)
            for n, name in enumerate(names):
                if name in kept:
                    result[n] = cut(visit.images[name], draw.start, patch)
            return mirror(result, draw.change)

        inputs, scored = draw.scenario.sources, draw.scenario.scored
        extras = auxiliary_names(recipe, inputs)
        mask = mirror(cut(visit.mask, draw.start, patch), draw.change).astype(np.float32)
        sources = amplify(stack(recipe.sources, inputs), draw.change.gains)
        for n, bend in enumerate(draw.change.bends):
            if recipe.sources[n] in inputs:
                sources[n] = bent(sources[n], bend, mask)
        maps = [cut(visit.extras[name], draw.start, patch) for name in extras]
        shown = np.zeros((len(recipe.inputs) - len(sources), *patch), dtype=np.float32)
        for name, values in zip(extras, maps, strict=True):
            shown[recipe.inputs.index(name) - len(sources)] = mirror(values, draw.change)
        known = {*inputs, *extras}
        return {
            "sources": torch.from_numpy(np.concatenate([sources, shown])),
            "available": torch.tensor([float(name in known) for name in recipe.inputs]),
            "real": torch.from_numpy(stack(recipe.targets, scored)),
            "scored": torch.tensor([m in scored for m in recipe.targets]),
            "mask": torch.from_numpy(mask)[None],
        }


def own_items(
    total: int, *, done: int = 0, batch: int = 1, rank: int = 0, ranks: int = 1
) -> Iterator[int]:
    """The numbers of the items that one of several processes learns from, after `done` of all.

    Of every `batch` items for each of `ranks` processes, the process `rank` takes its block:
    together they draw what one process would of a larger batch.
    """
    for start in range(done, total, batch * ranks):
        own = start + rank * batch
        yield from range(own, own + batch)
