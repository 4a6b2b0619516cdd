"""Member: one network of one fold: what decides its weights, and where its fit is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bids_synth.learn.baselines.linear import Gramian
from bids_synth.learn.networks import Quantiles, build_network, start_linear
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import write_text

STATE = "state.ckpt"
"""Name of the state from which a fit goes on."""


@dataclass(frozen=True)
class Member:
    """One network to fit: everything that decides its weights, and where it is kept."""

    recipe: Recipe
    fold: int
    number: int
    """0-based place among the members of the fold."""
    seed: int
    """Master seed of the run."""
    key: str
    """Digest of all that decides the fit; a state of another key is not resumed."""
    place: Path
    """Folder of its state, weights, curve and TensorBoard events."""

    @property
    def own_seed(self) -> int:
        """Seed of this member alone."""
        mixed = np.random.SeedSequence([self.seed, self.fold, self.number])
        return int(mixed.generate_state(1)[0])

    @property
    def events(self) -> Path:
        """Folder of its TensorBoard events.

        Not in the model folder, which other folds replace while this one writes.
        """
        return self.place / "events"

    @property
    def weights(self) -> Path:
        """The best averaged weights, there when the fit is over."""
        return self.place / "weights.safetensors"

    @property
    def state(self) -> Path:
        """All that decides how the fit goes on, there while it is not over."""
        return self.place / STATE

    @property
    def start(self) -> Path:
        """The answer that the fit began from, there where it began from one."""
        return self.place / "start.safetensors"

    @property
    def result(self) -> Path:
        """Key, score, epoch and curve of a finished fit."""
        return self.place / "fitted.json"

    def fitted(self) -> dict[str, Any] | None:
        """What is known of a finished fit of this very key, else None."""
        try:
            data: dict[str, Any] = json.loads(self.result.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return data if data.get("key") == self.key and self.weights.is_file() else None

    def claim(self) -> None:
        """Remove what is kept of a fit of another key; mark the place with this one."""
        mark = self.place / "key.txt"
        if mark.is_file() and mark.read_text("utf-8") == self.key:
            return
        shutil.rmtree(self.place, ignore_errors=True)
        write_text(self.key, mark)

    def __str__(self) -> str:
        return f"recipe {self.recipe.name}, fold {self.fold}, member {self.number}"


def initial_network(
    member: Member, gramian: Callable[[], Gramian], quantiles: Quantiles
) -> nn.Module:
    """Weights from the member's seed, and the answer of the training visits to start from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(member.own_seed)
        network = build_network(member.recipe)
    start_linear(network, member.recipe, gramian, quantiles)
    return network
