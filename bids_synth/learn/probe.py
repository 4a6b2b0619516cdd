"""Probe: what a fit would take on this machine, from a few steps on random images."""

from __future__ import annotations

import resource
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from bids_synth.learn.budget import trial
from bids_synth.learn.data.array_cache import Stored, reopen, save_array
from bids_synth.learn.data.patches import window_starts
from bids_synth.learn.device import resolve_device
from bids_synth.learn.features.loss import asked_features
from bids_synth.learn.fit.fit import FoldInputs
from bids_synth.learn.fit.member import Member
from bids_synth.learn.fit.selection import MOST, OVERLAP, Score, Selection
from bids_synth.learn.model.size_limits import map_numbers
from bids_synth.learn.networks import build_network
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.network import POINTWISE

Mask: TypeAlias = npt.NDArray[np.uint8]

HALF_AXES = {"brain": (68.0, 86.0, 66.0), "head": (80.0, 105.0, 110.0)}
"""Of an ellipsoid as large as what a recipe masks, mm."""
SECONDS = 2.0
"""Time of steps after which their mean is believed."""
SMALLER = 2.0
"""How much shorter the head of the probe is along each axis; its image counts for more."""


@dataclass(frozen=True)
class Cost:
    """What was measured, and what the recipe asks for."""

    device: str
    networks: int
    steps: int
    """Of each network."""
    looks: int
    """Of each network, at the validation participants."""
    step: float
    """Seconds of a step."""
    image: float
    """Seconds in which one network makes one whole image."""
    look: float
    """Seconds of a look."""
    memory_gb: float
    """Largest at once; on a card, of the card."""
    visit_bytes: int
    """Of the arrays that a fit keeps of one visit in the work directory."""

    @property
    def seconds(self) -> float:
        """Of all steps and looks."""
        return self.networks * (self.steps * self.step + self.looks * self.look)


def probe(
    recipe: Recipe,
    score: Score,
    *,
    folds: int,
    present: Sequence[Collection[str]],
    seed: int,
    device: str = "auto",
    seconds: float = SECONDS,
) -> Cost:
    """The cost of fitting all networks of `folds` folds.

    Measured with one small random visit that has every modality, on the processor with one item a
    step, since a step takes as long as its items together. `present` has the modalities of each
    validation visit. Nothing is left on disk.
    """
    where = resolve_device(device)
    own = recipe if where.type == "cuda" else recipe.with_values({"fit.batch": 1})
    times = recipe.fit.batch // own.fit.batch
    mask, small = _mask(recipe, 1.0), _mask(recipe, SMALLER)
    with TemporaryDirectory(prefix="bids_synth-") as place:
        visit = _random_visit(recipe, small, Path(place) / "store", seed)
        member = Member(own, 0, 0, seed, "probe", Path(place) / "fit" / "probe" / "member")
        task = next(task for task in recipe.tasks(visit.present) if task.real)
        selection = Selection(own, ((visit, task),), score, where)
        inputs = FoldInputs([visit], selection, None, lambda _: lambda: build_network(own))
        step, image = trial(member, inputs, seconds=seconds, warm=1, fewest=2)
    image *= _work(recipe, mask) / _work(recipe, small)
    looked = _looked_at(recipe, present)
    per_epoch = min(recipe.fit.steps_per_epoch, recipe.fit.steps)
    looks = (1 + -(-recipe.fit.steps // per_epoch)) if looked else 0
    return Cost(
        device=str(where),
        networks=recipe.fit.members * folds,
        steps=recipe.fit.steps,
        looks=looks,
        step=step * times,
        image=image,
        look=image * looked,
        memory_gb=_memory(where) + _beyond(recipe, mask, times),
        visit_bytes=mask.size * (1 + 2 * len(recipe.modalities)) + 4 * int(mask.sum()),
    )


def can_be_probed(recipe: Recipe) -> bool:
    """False where the objective compares images by a network that is itself fitted before."""
    return asked_features(recipe) is None and not recipe.unpaired


def _looked_at(recipe: Recipe, present: Sequence[Collection[str]]) -> int:
    """Images that are made in one look, as `selection_of` chooses them."""
    offered = [task for own in present for task in recipe.tasks(own) if task.real]
    return min(len(offered), max(MOST, len({task.target for task in offered})))


def _mask(recipe: Recipe, smaller: float) -> Mask:
    """What a recipe would mask of a person, on its grid, so many times smaller along each axis."""
    spacing, margin = recipe.grid.spacing, recipe.grid.margin
    half = [axis / spacing / smaller for axis in HALF_AXES[recipe.preparation.mask]]
    shape = [int(2 * (axis + margin / spacing)) + 1 for axis in half]
    distances = [((np.arange(n) - (n - 1) / 2) / a) ** 2 for n, a in zip(shape, half, strict=True)]
    i, j, k = np.ix_(*distances)
    return np.asarray(i + j + k < 1, np.uint8)


def _work(recipe: Recipe, mask: Mask) -> float:
    """How much a network has to do for an image: in voxels or windows, as it works."""
    if recipe.network.name in POINTWISE:
        return float(mask.sum())
    return float(len(window_starts(mask, recipe.fit.patch, OVERLAP)))


def _beyond(recipe: Recipe, mask: Mask, items: int) -> float:
    """GB that a real head and all items of a step take beyond the probe's."""
    maps = 0 if recipe.network.name in POINTWISE else map_numbers(recipe) * (items - 1)
    volumes = mask.size * (len(recipe.inputs) + 2 * len(recipe.targets))
    return 4 * (maps + volumes) / 1e9


def _random_visit(recipe: Recipe, mask: Mask, folder: Path, seed: int) -> Stored:
    """A visit that has all modalities inside a mask, with random numbers."""
    place, maps = folder / "visit", folder / "maps"
    place.mkdir(parents=True)
    maps.mkdir()
    rng, shape = np.random.default_rng(seed), mask.shape
    save_array(place / "mask.npy", mask)
    save_array(place / "centres.npy", np.flatnonzero(mask).astype(np.uint32))
    for modality in recipe.modalities:
        image = rng.random(shape, dtype=np.float32) * mask
        save_array(place / f"image-{modality}.npy", image.astype(np.float16))
    for name in recipe.inputs[len(recipe.sources) :]:
        save_array(maps / f"{name}.npy", mask.astype(np.float16))
    save_array(maps / "shape.npy", np.asarray(shape))
    return reopen("random", "random", tuple(recipe.modalities), [place, maps])


def _memory(device: torch.device) -> float:
    """Largest use so far, GB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
