"""Dataset: the endless row of random patches, each a pure function of seed and number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt
import torch

from bids_synth.errors import UsageError
from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.data.augment import Change, bent, draw_bends, draw_change
from bids_synth.learn.data.auxiliary_inputs import auxiliary_names
from bids_synth.learn.data.batches import Item, Items, by_participant
from bids_synth.learn.data.patches import Start, paste
from bids_synth.learn.data.scenarios import Scenario, draw_scenario
from bids_synth.recipe.recipe import Recipe


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


class Patches(Items):
    """Item number n of a fit: source images, availability, real targets, mask.

    sources (S, I, J, K) with the extras behind them, available (S,), real (T, I, J, K),
    scored (T,), mask (1, I, J, K), all float32 but `scored`, which is bool. Images that are
    absent or withheld are 0.
    """

    def __init__(self, recipe: Recipe, visits: Sequence[Stored], *, seed: int, total: int) -> None:
        teaching = [v for v in visits if any(task.real for task in recipe.tasks(v.present))]
        super().__init__(recipe, teaching, seed=seed, total=total)
        if not self.visits:
            message = (
                f"no training visit has a target of {', '.join(recipe.targets)} and at least "
                f"{recipe.minimum} other source(s); nothing can be learned from this dataset"
            )
            raise UsageError(message)
        self._people = by_participant(self.visits, range(len(self.visits)))

    def draws(self, numbers: Sequence[int]) -> list[Draw]:
        """The chance of the items of these numbers."""
        return [self.draw(number) for number in numbers]

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
        order = shuffled((self.seed, 0, passed), len(self._people))
        rng = np.random.default_rng([self.seed, 1, index])
        return int(rng.choice(self._people[order[place]])), rng

    def apply(self, draws: Sequence[Draw]) -> Item:
        """The patches that draws describe, with their number N before all other axes."""
        recipe, count = self.recipe, len(self.recipe.sources)

        def empty(rows: int) -> torch.Tensor:
            return torch.zeros(len(draws), rows, *recipe.fit.patch, device=self.home)

        shown, real, mask = empty(len(recipe.inputs)), empty(len(recipe.targets)), empty(1)
        for n, draw in enumerate(draws):
            volumes, inputs = self.volumes[draw.visit], draw.scenario.sources
            place = partial(paste, start=draw.start, flip=draw.change.flip)
            place(mask[n, 0], volumes.mask)
            for name in inputs:
                place(shown[n, recipe.inputs.index(name)], volumes.images[name])
            for name in auxiliary_names(recipe, inputs):
                place(shown[n, recipe.inputs.index(name)], volumes.extras[name])
            for name in draw.scenario.scored:
                place(real[n, recipe.targets.index(name)], volumes.images[name])
        sources = shown[:, :count]
        gains = torch.tensor([draw.change.gains for draw in draws]).to(self.home)
        sources *= gains[..., None, None, None]
        for n, draw in enumerate(draws):
            rows = [recipe.sources.index(m) for m in draw.scenario.sources if draw.change.bends]
            if rows:
                bends = [draw.change.bends[row] for row in rows]
                sources[n, rows] = bent(sources[n, rows], bends, mask[n, 0])
        flags = flags_of(recipe, [draw.scenario for draw in draws], self.home)
        return {"sources": shown, "real": real, "mask": mask} | flags


@lru_cache(maxsize=8)
def shuffled(seed: tuple[int, ...], count: int) -> npt.NDArray[np.int64]:
    """An order of so many things from a seed; kept, as each of them asks for it in turn."""
    return np.random.default_rng(seed).permutation(count)


def flags_of(recipe: Recipe, scenarios: Sequence[Scenario], device: torch.device) -> Item:
    """available (N, S) of 0 and 1, extras behind the sources, and scored (N, T), bool."""
    known = [{*s.sources, *auxiliary_names(recipe, s.sources)} for s in scenarios]
    available = torch.tensor([[float(name in k) for name in recipe.inputs] for k in known])
    scored = torch.tensor([[m in s.scored for m in recipe.targets] for s in scenarios])
    return {"available": available.to(device), "scored": scored.to(device)}


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
