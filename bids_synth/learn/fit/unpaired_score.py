"""Proxy: a score without pairs, for datasets in which nobody has both modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bids_synth.errors import UsageError
from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.data.quantiles import quantiles_of
from bids_synth.learn.fit.preview import Look, look_at
from bids_synth.learn.fit.selection import (
    MOST,
    LatestSelection,
    Score,
    Selection,
    made_by,
    selection_of,
)
from bids_synth.recipe.recipe import Recipe

SHARES = np.linspace(0.01, 0.99, 25)
"""Quantiles by which two distributions of values are compared."""


@dataclass(frozen=True)
class ProxySelection:
    """Selects weights where no validation visit has a source and its target."""

    recipe: Recipe
    tasks: tuple[tuple[Stored, str], ...]
    """Visits and the modality that is given."""
    quantiles: Mapping[str, npt.NDArray[np.float64]]
    """Modality -> quantiles of its values in other visits."""
    device: torch.device
    look: Look = field(default_factory=dict, compare=False, repr=False)
    """Slices of the first task as it was last scored, with no real one; empty before."""

    def __call__(self, network: nn.Module) -> float:
        """Mean over the tasks of `proxy_score`."""
        return float(np.mean([self._score(network, *task) for task in self.tasks]))

    def _score(self, network: nn.Module, visit: Stored, source: str) -> float:
        (target,) = (m for m in self.recipe.targets if m != source)
        answer = made_by(network, self.recipe, visit, [source], target, self.device)
        image, mask = np.asarray(visit.images[source], np.float32), np.asarray(visit.mask) > 0
        if self.recipe.fit.preview and (visit, source) == self.tasks[0]:
            self.look.update(look_at({source: image, target: answer * mask}))
        return proxy_score(image, answer, mask, self.quantiles[target])


def proxy_score(
    image: npt.NDArray[Any],
    answer: npt.NDArray[Any],
    mask: npt.NDArray[np.bool_],
    wanted: npt.NDArray[Any],
) -> float:
    """Correlation of edges with the image given, less the distance to the wanted values.

    All images scaled, (I, J, K); `wanted` are quantiles at `SHARES`. Edges are gradient
    magnitudes, which agree between modalities whatever the order of their greys.
    """
    edges = [
        np.sqrt(sum(np.square(g) for g in np.gradient(np.where(mask, one, 0))))[mask]
        for one in (image, answer)
    ]
    alike = (
        float(np.corrcoef(edges[0], edges[1])[0, 1]) if min(e.std() for e in edges) > 0 else 0.0
    )
    return alike - float(np.abs(np.quantile(answer[mask], SHARES) - wanted).mean())


AnySelection = Selection | ProxySelection | LatestSelection


def choose_selection(
    recipe: Recipe,
    training: Sequence[Stored],
    validation: Sequence[Stored],
    score: Score,
    device: torch.device,
) -> AnySelection:
    """By real targets wherever there are any; by the proxy where a recipe needs no pairs.

    Without validation visits nothing is judged.
    """
    if not validation:
        return LatestSelection(device)
    paired = any(task.real for visit in validation for task in recipe.tasks(visit.present))
    if recipe.unpaired and not paired:
        return proxy_selection(recipe, training, validation, device)
    return selection_of(recipe, validation, score, device)


def proxy_selection(
    recipe: Recipe,
    training: Sequence[Stored],
    validation: Sequence[Stored],
    device: torch.device,
) -> ProxySelection:
    """The proxy for an unpaired recipe; UsageError where a part lacks a modality altogether."""
    quantiles = {target: quantiles_of(training, target, SHARES) for target in recipe.targets}
    offered = [(v, source) for source in recipe.sources for v in validation if source in v.images]
    if not offered:
        message = "no validation visit has any of the modalities; choose another split"
        raise UsageError(message)
    return ProxySelection(
        recipe, tuple(offered[:: max(1, len(offered) // MOST)]), quantiles, device
    )
