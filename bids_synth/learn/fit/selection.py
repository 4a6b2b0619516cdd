"""Selection: the score of a network on whole volumes of validation participants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bids_synth.errors import UsageError
from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.data.auxiliary_inputs import auxiliary_names
from bids_synth.learn.data.patches import slide
from bids_synth.learn.fit.preview import Look, look_at
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.tasks import Task

Score = Callable[[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]], float]
"""(real scaled, synthetic scaled, mask) -> score; higher is better. Given from above."""

MOST = 6
"""Volumes synthesised for one look, spread over targets first and then over visits."""
OVERLAP = 0.25
"""Shared fraction of the windows: a look must be quick, and ranks weights alike."""


@dataclass(frozen=True)
class Selection:
    """What is synthesised and scored after every epoch, always the same."""

    recipe: Recipe
    tasks: tuple[tuple[Stored, Task], ...]
    score: Score
    device: torch.device
    look: Look = field(default_factory=dict, compare=False, repr=False)
    """Slices of the first task as it was last scored; empty before."""

    def __call__(self, network: nn.Module) -> float:
        """Mean score over the tasks."""
        return float(np.mean([self._score(network, *task) for task in self.tasks]))

    def _score(self, network: nn.Module, visit: Stored, task: Task) -> float:
        target, sources = task.target, task.sources
        synthetic = made_by(network, self.recipe, visit, sources, target, self.device)
        mask = np.asarray(visit.mask) > 0
        real, answer = np.asarray(visit.images[target], np.float32), synthetic * mask
        gain = self.recipe.log_gain(target)
        if self.recipe.fit.preview and (visit, task) == self.tasks[0]:
            source = sources[0]
            self.look.update(look_at({source: visit.images[source], target: answer}, real))
        if gain is not None:  # What counts in the end is the value, not its logarithm.
            real, answer = (np.exp(gain * (scaled - 1)) for scaled in (real, answer))
        return self.score(real, answer, mask)


@dataclass(frozen=True)
class LatestSelection:
    """Stands where nobody validates: no weights are judged, and those of the last step kept."""

    device: torch.device

    def __call__(self, _: nn.Module) -> float:
        """No number: nobody looked."""
        return nan


def selection_of(
    recipe: Recipe, visits: Sequence[Stored], score: Score, device: torch.device
) -> Selection:
    """Choose the validation tasks; UsageError where the visits offer none."""
    offered = [[task for task in recipe.tasks(v.present) if task.real] for v in visits]
    rounds = [
        (visit, own[(number + turn) % len(own)])
        for turn in range(len(recipe.targets))
        for number, (visit, own) in enumerate(zip(visits, offered, strict=True))
        if turn < len(own)
    ]
    tasks = _cover(recipe, rounds)
    if not tasks:
        message = (
            "no validation visit has a target and another source, so no weights can be "
            f"selected; visits: {', '.join(v.label for v in visits) or 'none'}"
        )
        raise UsageError(message)
    return Selection(recipe, tuple(tasks), score, device)


def made_by(
    network: nn.Module,
    recipe: Recipe,
    visit: Stored,
    sources: Sequence[str],
    target: str,
    device: torch.device,
) -> npt.NDArray[np.float32]:
    """What the network makes of a stored visit: the whole target (I, J, K), scaled."""
    images = np.zeros((len(recipe.inputs), *visit.mask.shape), dtype=np.float32)
    for source in sources:
        images[recipe.inputs.index(source)] = visit.images[source]
    for name in auxiliary_names(recipe, sources):
        images[recipe.inputs.index(name)] = visit.extras[name]
    blocks, patch = blocks_of(network, recipe, sources, [target], device), recipe.fit.patch
    answer = slide(blocks, images, visit.mask, patch=patch, overlap=OVERLAP, device=device)
    return np.asarray(answer[0])


def blocks_of(
    network: nn.Module,
    recipe: Recipe,
    sources: Sequence[str],
    targets: Sequence[str],
    device: torch.device,
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The network as a function of image windows alone, for one set of sources."""
    known = {*sources, *auxiliary_names(recipe, sources)}
    available = torch.tensor([[float(name in known) for name in recipe.inputs]], device=device)
    rows = [recipe.targets.index(t) for t in targets]
    network.eval()

    def blocks(window: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = network(window, available.expand(len(window), -1))[:, rows]
        return result

    return blocks


def _cover(recipe: Recipe, rounds: Sequence[tuple[Stored, Task]]) -> list[tuple[Stored, Task]]:
    first = [
        next((n for n, (_, task) in enumerate(rounds) if task.target == target), None)
        for target in recipe.targets
    ]
    chosen = [n for n in first if n is not None]
    others = [n for n in range(len(rounds)) if n not in chosen]
    return [rounds[n] for n in sorted(chosen + others[: max(0, MOST - len(chosen))])]
