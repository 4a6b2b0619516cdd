"""Ours: a member as it is fitted, its patches alone, and a volume as it is synthesised."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from benchmarks.peers.phantoms import Phantom
from benchmarks.peers.turns import Watch
from benchmarks.stages.measured import SEED
from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.data.patches import slide
from bids_synth.learn.features.segmenter import Segmenter
from bids_synth.learn.fit.loop import (
    Job,
    batches_of,
    calm,
    fabric_on,
    objective_of,
    take_step,
)
from bids_synth.learn.fit.member import Member
from bids_synth.learn.fit.selection import blocks_of
from bids_synth.learn.networks import build_network, laid_out
from bids_synth.learn.objectives.objective import Objective
from bids_synth.recipe.recipe import Recipe

MORE = "ours does more besides"
"""What: in the notes of the page."""


def learning(module: nn.Module) -> int:
    """How many numbers of a module learn."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def member_of(recipe: Recipe) -> Member:
    """A member that is kept nowhere."""
    return Member(recipe, 0, 0, SEED, "peers", Path())


class OurFit:
    """Steps as `learn.fit.loop` takes them, from the store to the averaged weights."""

    def __init__(self, recipe: Recipe, stored: Sequence[Stored], device: torch.device) -> None:
        torch.manual_seed(SEED)
        weighs = getattr(recipe.objective, "features", 0) > 0
        features = Segmenter(planar=False).requires_grad_(requires_grad=False) if weighs else None
        self.device, self.samples = device, recipe.fit.batch
        self.job = Job(member_of(recipe), stored, build_network(recipe), features)
        self.parameters = learning(self._objective(steps=1))

    def run(self, steps: int, watch: Watch) -> None:
        """A short fit of the same network."""
        with calm(self.device):
            fabric = fabric_on(self.device)
            objective = fabric.to_device(self._objective(steps))
            optimizers = objective.optimizers()
            for batch in batches_of(self.job, steps, 0, self.device):
                loss = take_step(fabric, objective, optimizers, batch)
                watch.note(batch["sources"], loss)

    def _objective(self, steps: int) -> Objective:
        return objective_of(self.job, steps)


class OurPatches:
    """Batches of a recipe alone, as a fit gets them; no step is taken meanwhile."""

    parameters = 0

    def __init__(self, recipe: Recipe, stored: Sequence[Stored]) -> None:
        self.job = Job(member_of(recipe), stored, nn.Identity())
        self.samples = recipe.fit.batch

    def run(self, steps: int, watch: Watch) -> None:
        """So many batches."""
        for batch in batches_of(self.job, steps, 0):
            watch.note(batch["sources"])


class OurSynthesis:
    """One volume by one network."""

    samples = 1

    def __init__(self, recipe: Recipe, phantom: Phantom, device: torch.device) -> None:
        torch.manual_seed(SEED)
        self.recipe, self.phantom, self.device = recipe, phantom, device
        self.network = laid_out(build_network(recipe), recipe).to(device).eval()
        self.parameters = learning(self.network)

    def run(self, steps: int, watch: Watch) -> None:
        """The same volume again and again."""
        recipe, device = self.recipe, self.device
        blocks = blocks_of(self.network, recipe, recipe.sources, recipe.targets, device)
        images = torch.stack([torch.from_numpy(self.phantom.images[m]) for m in recipe.inputs])
        for _ in range(steps):
            made = slide(
                blocks, images.numpy(), self.phantom.mask, patch=recipe.fit.patch,
                overlap=recipe.synthesis.overlap, device=device,
            )  # fmt: skip
            watch.note(torch.from_numpy(made))
