"""Loops: pix2pix, CycleGAN and MM-GAN by hand, as their papers describe them, in plain PyTorch.

Networks and their first weights are those of our recipes, in the layers of the papers; data are
slices in memory, moved and mirrored at random, fetched by worker processes. Isola 2017
(arXiv:1611.07004), Zhu 2017 (arXiv:1703.10593), Sharma and Hamarneh 2020
(doi:10.1109/TMI.2019.2945521).
"""

from __future__ import annotations

import os
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from benchmarks.peers.ours import learning
from benchmarks.peers.phantoms import Phantom
from benchmarks.peers.turns import Watch
from benchmarks.stages.measured import SEED
from bids_synth.learn.networks import build_network
from bids_synth.learn.networks.blocks.convolution import NarrowConv2d
from bids_synth.learn.networks.discriminator import PatchDiscriminator
from bids_synth.learn.networks.unet2d import DoubledConv2d
from bids_synth.recipe.recipe import Recipe

POOL = 50
"""Images that a discriminator of CycleGAN is shown again."""
SHIFT = 30
"""Voxels by which 286 exceed 256: what a random crop may move by."""

WORKERS = 4
"""Processes that fetch data in published scripts, where there are as many cores."""


def workers() -> int:
    """Processes that fetch data for the others on this machine."""
    return min(WORKERS, len(os.sched_getaffinity(0)))


class Slices(Dataset[torch.Tensor]):
    """Item n: the images (M, I, J, 1) of a random axial slice through a head, all from one head
    or each from another one."""

    def __init__(self, phantoms: Sequence[Phantom], recipe: Recipe, total: int) -> None:
        self.patch, self.total, self.paired = recipe.fit.patch, total, not recipe.unpaired
        names = list(recipe.modalities)
        self.heads = [np.stack([p.images[m] for m in names]) for p in phantoms]
        self.rows = [np.flatnonzero(p.mask.any(axis=(0, 1))) for p in phantoms]
        self.flip = recipe.fit.flip

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, index: int) -> torch.Tensor:
        rng = np.random.default_rng([SEED, index])
        if self.paired:
            return torch.from_numpy(self._one(rng))
        return torch.from_numpy(np.stack([self._one(rng)[row] for row in range(2)]))

    def _one(self, rng: np.random.Generator) -> np.ndarray:
        number = int(rng.integers(len(self.heads)))
        images = self.heads[number][..., rng.choice(self.rows[number]), None]
        spare = [p - n for p, n in zip(self.patch, images.shape[1:], strict=True)]
        wide = np.pad(images, [(0, 0), *((max(0, s) // 2, -(-max(0, s) // 2)) for s in spare)])
        moves = [int(rng.integers(-SHIFT // 2, SHIFT // 2 + 1)) for _ in range(2)]
        wide = np.roll(wide, moves, axis=(1, 2))
        start = [(n - p) // 2 for n, p in zip(wide.shape[1:], self.patch, strict=True)]
        i, j, _ = (slice(a, a + p) for a, p in zip(start, self.patch, strict=True))
        shown = wide[:, i, j]
        return np.ascontiguousarray(shown[:, ::-1] if rng.random() < self.flip else shown)


class Loop(ABC):
    """What the three have in common: data, players, and Adam at 2e-4 with a momentum of 0.5."""

    def __init__(
        self, recipe: Recipe, phantoms: Sequence[Phantom], device: torch.device, processes: int
    ) -> None:
        torch.manual_seed(SEED)
        self.recipe, self.phantoms, self.device = recipe, phantoms, device
        self.processes, self.samples = processes, recipe.fit.batch
        self.network = as_published(build_network(recipe)).to(device)
        self.judges = nn.ModuleList(self.make_judges()).to(device)
        self.parameters = learning(self.network) + learning(self.judges)
        rate, betas = recipe.fit.learning_rate, (recipe.fit.beta, 0.999)
        self.makes = torch.optim.Adam(self.network.parameters(), rate, betas)
        self.learns = torch.optim.Adam(self.judges.parameters(), rate, betas)

    def run(self, steps: int, watch: Watch) -> None:
        """The loop."""
        data = Slices(self.phantoms, self.recipe, steps * self.samples)
        cuda = self.device.type == "cuda"
        for batch in DataLoader(data, self.samples, num_workers=self.processes, pin_memory=cuda):
            images = batch.to(self.device)
            watch.note(images[:, : len(self.recipe.sources)], self.step(images))

    @abstractmethod
    def make_judges(self) -> list[nn.Module]:
        """The discriminators."""

    @abstractmethod
    def step(self, images: torch.Tensor) -> torch.Tensor:
        """Every player takes one; what the generator's image lacks, without what judges say."""

    def judge_of(self, maps: int, outputs: int = 1, *, keep: bool = False) -> nn.Module:
        """A patch discriminator of the recipe's size."""
        part = self.recipe.objective.discriminator  # type: ignore[union-attr]
        return PatchDiscriminator(
            maps=maps, outputs=outputs, layers=part.layers, tail=part.tail, keep=keep,
            filters=part.filters, norm=part.norm, initial=part.initial,
        )  # fmt: skip


class Pix2Pix(Loop):
    """Discriminator first, then the generator: cross-entropy, and L1 times 100."""

    def make_judges(self) -> list[nn.Module]:
        """Of source and target."""
        return [self.judge_of(2)]

    def step(self, images: torch.Tensor) -> torch.Tensor:
        """images (N, 2, I, J, 1): source and target."""
        (judge,) = self.judges
        source, real = images.split(1, dim=1)
        made = self.network(source, images.new_ones(len(images), 1))
        judge.requires_grad_(requires_grad=True)
        self.learns.zero_grad()
        wrong = _entropy(judge(torch.cat([source, made.detach()], dim=1)), 0.0)
        right = _entropy(judge(torch.cat([source, real], dim=1)), 1.0)
        ((wrong + right) / 2).backward()
        self.learns.step()
        judge.requires_grad_(requires_grad=False)
        self.makes.zero_grad()
        apart = functional.l1_loss(made, real)
        fooled = _entropy(judge(torch.cat([source, made], dim=1)), 1.0)
        (fooled + self.recipe.objective.l1 * apart).backward()  # type: ignore[union-attr]
        self.makes.step()
        return apart.detach()


class CycleGan(Loop):
    """Generators first, then the discriminators on images of their pools: least squares."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.pools: tuple[list[torch.Tensor], ...] = ([], [])

    def make_judges(self) -> list[nn.Module]:
        """Of either modality."""
        return [self.judge_of(1), self.judge_of(1)]

    def step(self, images: torch.Tensor) -> torch.Tensor:
        """images (N, 2, I, J, 1): one of either modality, not of one head."""
        a, b = images.split(1, dim=1)
        weights = self.recipe.objective
        there, back = (lambda x, n=n: self.network.translate(n, x) for n in (0, 1))
        made_a, made_b = back(b), there(a)
        self.judges.requires_grad_(requires_grad=False)
        self.makes.zero_grad()
        fooled = _squares(self.judges[0](made_a), 1.0) + _squares(self.judges[1](made_b), 1.0)
        cycle = functional.l1_loss(back(made_b), a) + functional.l1_loss(there(made_a), b)
        same = functional.l1_loss(back(a), a) + functional.l1_loss(there(b), b)
        (fooled + weights.cycle * cycle + weights.identity * same).backward()  # type: ignore[union-attr]
        self.makes.step()
        self.judges.requires_grad_(requires_grad=True)
        self.learns.zero_grad()
        for judge, pool, real, made in zip(
            self.judges, self.pools, (a, b), (made_a, made_b), strict=True
        ):
            wrong = _squares(judge(_reminded(pool, made.detach())), 0.0)
            ((_squares(judge(real), 1.0) + wrong) / 2).backward()
        self.learns.step()
        return cycle.detach()


class MmGan(Loop):
    """One set of missing images for a batch; given images stand in the candidate as given."""

    def make_judges(self) -> list[nn.Module]:
        """Of the sources, which are there, and the candidate; a map of judgements for each."""
        count = len(self.recipe.modalities)
        return [self.judge_of(3 * count, count, keep=True)]

    def step(self, images: torch.Tensor) -> torch.Tensor:
        """images (N, M, I, J, 1): all modalities of a slice."""
        (judge,) = self.judges
        weights, count = self.recipe.objective, images.shape[1]
        there = images.new_ones(len(images), count)
        there[:, random.randrange(count)] = 0
        given = there[:, :, None, None, None].expand_as(images)
        condition = torch.cat([images * given, given], dim=1)
        made = images * given + self.network(images * given, there) * (1 - given)
        judge.requires_grad_(requires_grad=False)
        self.makes.zero_grad()
        apart = functional.l1_loss(made, images)
        fooled = _squares(judge(torch.cat([condition, made], dim=1)), 1.0)
        (weights.l1 * apart + weights.adversarial * fooled).backward()  # type: ignore[union-attr]
        self.makes.step()
        judge.requires_grad_(requires_grad=True)
        self.learns.zero_grad()
        right = _squares(judge(torch.cat([condition, images], dim=1)), 1.0)
        answer = judge(torch.cat([condition, made.detach()], dim=1))
        wrong = ((answer - there[:, :, None, None, None]) ** 2).mean()
        ((right + wrong) / 2).backward()
        self.learns.step()
        return apart.detach()


def as_published(network: nn.Module) -> nn.Module:
    """The same weights in plain layers, where ours are a quicker way to the same numbers."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, (NarrowConv2d, DoubledConv2d)):
                setattr(module, name, _plain(child))
    return network


def _plain(layer: NarrowConv2d | DoubledConv2d) -> nn.Module:
    doubles, kernel = isinstance(layer, DoubledConv2d), layer.kernel_size[0]
    plain = nn.Conv2d(layer.in_channels, layer.out_channels, kernel, padding=int(doubles))
    plain.load_state_dict(layer.state_dict())
    if not doubles:
        return plain
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.ZeroPad2d((1, 0, 1, 0)), plain)


def _entropy(logits: torch.Tensor, label: float) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def _squares(logits: torch.Tensor, label: float) -> torch.Tensor:
    return ((logits - label) ** 2).mean()


def _reminded(pool: list[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """New images, or half of the time kept ones in their place once there are enough."""
    shown = []
    for image in images:
        if len(pool) < POOL:
            pool.append(image)
            shown.append(image)
        elif random.random() < 0.5:
            place = random.randrange(POOL)
            shown.append(pool[place])
            pool[place] = image
        else:
            shown.append(image)
    return torch.stack(shown)
