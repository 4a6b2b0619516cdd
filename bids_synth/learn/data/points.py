"""Points: what lies around single voxels of the training visits, read once and drawn at random."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from bids_synth.learn.data.array_cache import Stored, ensure_stored, save_array
from bids_synth.learn.data.augment import Change, bent, draw_bends, draw_change
from bids_synth.learn.data.batches import Item, size_of, tensor_of
from bids_synth.learn.data.dataset import Patches, flags_of
from bids_synth.learn.data.scenarios import Scenario, draw_scenario
from bids_synth.learn.networks.blocks.surroundings import (
    SHARES,
    VALUES,
    Surroundings,
    mirrored,
    width_of,
)
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.network import ContextPart

READ = 2**14
"""Voxels that are read together."""
FEWEST, MOST = 1000, 200_000
"""Voxels of one visit."""


@dataclass(frozen=True, eq=False)
class Read:
    """What was read of one visit around some of its voxels."""

    values: npt.NDArray[np.float16]
    """(V, `width_of` the recipe's inputs), 0 for sources that the visit lacks."""
    real: npt.NDArray[np.float16]
    """(V, T): the targets at the voxels, 0 for those that the visit lacks."""


@dataclass(frozen=True)
class PointsDraw:
    """Everything that chance decides about the voxels of one item."""

    visit: int
    """Position of the visit among the training visits."""
    copy: int
    """Which copy of it: 0 as it was scanned, the others bent."""
    rows: tuple[int, ...]
    """Which of the voxels that were read of it."""
    change: Change
    """Flip and gains."""
    scenario: Scenario
    """Which images are given and which are scored."""


class Points(Patches):
    """Item number n of a fit that learns from single voxels.

    sources (V, `width_of(S)`), available (S,), real (T, V, 1, 1), scored (T,), mask (1, V, 1, 1),
    all float32 but `scored`, which is bool. Images that are withheld are in `sources`, but not
    among those available.
    """

    def __init__(self, recipe: Recipe, visits: Sequence[Stored], *, seed: int, total: int) -> None:
        super().__init__(recipe, visits, seed=seed, total=total)
        self.volumes = []  # All that is needed of them is read below.
        part: ContextPart = recipe.network  # type: ignore[assignment]
        self.count = part.voxels
        each = part.sample // (len(self.visits) * (1 + part.copies))
        each = int(np.clip(each, FEWEST, MOST))
        self.read = [
            [read_points(recipe, visit, each, copy=n) for n in range(1 + part.copies)]
            for visit in self.visits
        ]
        self.tables = [
            [(tensor_of(read.values), tensor_of(read.real)) for read in copies]
            for copies in self.read
        ]
        count = len(recipe.inputs)
        near = (mirrored()[:, None] * count + torch.arange(count)).flatten()
        self._mirrored = torch.cat([near, VALUES * count + torch.arange(SHARES)])

    def size(self) -> int:
        """Bytes of what was read."""
        return size_of(tensor for copies in self.tables for table in copies for tensor in table)

    def keep_on(self, device: torch.device) -> None:
        """From now on what was read lies on this device, and so do the items."""
        self.home = device
        self.tables = [
            [(values.to(device), real.to(device)) for values, real in copies]
            for copies in self.tables
        ]
        self._mirrored = self._mirrored.to(device)

    def apply(self, draws: Sequence[PointsDraw]) -> Item:  # type: ignore[override]
        """The voxels that draws describe, with their number N before all other axes."""
        recipe, home = self.recipe, self.home
        shape = len(draws), self.count
        sources = torch.empty(*shape, width_of(len(recipe.inputs)), device=home)
        real = torch.empty(len(draws), len(recipe.targets), self.count, device=home)
        every = torch.tensor([draw.rows for draw in draws]).to(home)
        for n, (draw, rows) in enumerate(zip(draws, every, strict=True)):
            values, targets = self.tables[draw.visit][draw.copy]
            read = values.index_select(0, rows)
            sources[n] = read.index_select(1, self._mirrored) if draw.change.flip else read
            real[n] = targets.index_select(0, rows).T
        gains = torch.ones(len(draws), 1, sources.shape[-1])
        spread = gains[..., :-SHARES].view(len(draws), 1, VALUES, len(recipe.inputs))
        changes = [draw.change.gains for draw in draws]
        spread[..., : len(recipe.sources)] = torch.tensor(changes)[:, None, None]
        sources *= gains.to(home)
        return {
            "sources": sources,
            "real": real[..., None, None],
            "mask": torch.ones(len(draws), 1, self.count, 1, 1, device=home),
        } | flags_of(recipe, [draw.scenario for draw in draws], home)

    def draw(self, index: int) -> PointsDraw:  # type: ignore[override]
        """The chance of item `index`: every participant equally often, then its visits."""
        number, rng = self.draw_visit(index)
        copy = int(rng.integers(len(self.read[number])))
        read = self.read[number][copy]
        rows = np.sort(rng.integers(len(read.values), size=self.count))
        change = draw_change(self.recipe, rng)
        scenario = draw_scenario(self.recipe, self.visits[number].present, index / self.total, rng)
        return PointsDraw(number, copy, tuple(rows.tolist()), change, scenario)


def read_points(recipe: Recipe, visit: Stored, most: int, *, copy: int = 0) -> Read:
    """What lies around `most` voxels of a visit, or all of them; kept beside its arrays.

    Every copy but 0 has sources that are bent by the chance of its number.
    """
    wanted = "/".join([*(f.name for f in visit.folders), *recipe.inputs, *recipe.targets])
    drawn = f":{copy}:{recipe.fit.curve}:{recipe.fit.noise}" if copy else ""
    key = hashlib.sha256(f"points:{most}:{wanted}{drawn}".encode()).hexdigest()
    write = partial(_write, recipe, visit, most, copy)
    place = ensure_stored(key, visit.folders[0].parent, write)
    values, real = (np.load(place / f"{name}.npy", mmap_mode="r") for name in ("values", "real"))
    return Read(values, real)


def _write(recipe: Recipe, visit: Stored, most: int, copy: int, folder: Path) -> None:
    inside = torch.from_numpy(np.asarray(visit.mask) > 0)
    flat = _spread(visit, most, copy)
    rng = np.random.default_rng([_own(visit), copy])
    bends = draw_bends(recipe, rng) if copy else ()
    indices = np.unravel_index(flat, visit.mask.shape)
    voxels = torch.from_numpy(np.stack(indices, axis=1).astype(np.int64))
    images = np.zeros((len(recipe.inputs), *visit.mask.shape), np.float32)
    for n, name in enumerate(recipe.inputs):
        known = visit.images if name in recipe.sources else visit.extras
        if name in known:
            images[n] = known[name]
    shown = torch.from_numpy(images)
    for n, bend in enumerate(bends):
        shown[n] = bent(shown[n : n + 1], [bend], inside)[0]
    around = Surroundings(shown, inside)
    values = np.empty((len(flat), VALUES * len(images) + SHARES), np.float16)
    for first in range(0, len(flat), READ):
        values[first : first + READ] = around.at(voxels[first : first + READ]).numpy()
    real = np.zeros((len(flat), len(recipe.targets)), np.float16)
    for n, name in enumerate(recipe.targets):
        if name in visit.images:
            real[:, n] = visit.images[name][indices]
    save_array(folder / "values.npy", values)
    save_array(folder / "real.npy", real)


def _spread(visit: Stored, most: int, copy: int) -> npt.NDArray[np.int64]:
    """Flat indices of voxels of the mask, each as likely as any other; the same every time."""
    count = min(most, len(visit.centres))
    rng = np.random.default_rng([_own(visit), copy] if copy else _own(visit))
    chosen = rng.choice(len(visit.centres), count, replace=False)
    return np.sort(np.asarray(visit.centres)[chosen].astype(np.int64))


def _own(visit: Stored) -> int:
    """A number of the visit's own, from its label."""
    return int(hashlib.sha256(visit.label.encode()).hexdigest()[:8], 16)
