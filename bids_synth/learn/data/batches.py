"""Batches: where the arrays of the training visits lie, and batches made ahead of the steps."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from bids_synth.learn.data.array_cache import Stored
from bids_synth.recipe.recipe import Recipe

Item = dict[str, torch.Tensor]
SHARE = 0.5
"""Of the memory that is free on a card, what arrays may take; the rest is for the step."""
AHEAD = 2
"""Batches that are prepared while a step is taken."""


@dataclass(frozen=True, eq=False)
class Volumes:
    """The arrays of one visit as tensors of one device."""

    images: Mapping[str, torch.Tensor]
    """Modality -> scaled image (I, J, K), float16, 0 outside the mask."""
    mask: torch.Tensor
    """(I, J, K), uint8, 1 inside."""
    extras: Mapping[str, torch.Tensor]
    """Name -> map (I, J, K) beside the sources, float16."""

    def tensors(self) -> list[torch.Tensor]:
        """All of them."""
        return [*self.images.values(), self.mask, *self.extras.values()]

    def on(self, device: torch.device) -> Volumes:
        """The same on another device."""
        images, extras = (
            {name: moved(tensor, device) for name, tensor in tensors.items()}
            for tensors in (self.images, self.extras)
        )
        return Volumes(images, moved(self.mask, device), extras)


class Items(Dataset[Item]):
    """Items of a fit by their numbers, made together from tensors of one device, `home`.

    What chance decides about an item, its draw, is a function of seed and number alone.
    """

    def __init__(self, recipe: Recipe, visits: Sequence[Stored], *, seed: int, total: int) -> None:
        self.recipe, self.seed, self.total = recipe, seed, total
        self.visits = list(visits)
        self.home = torch.device("cpu")
        self.volumes = [volumes_of(visit) for visit in self.visits]

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, index: int) -> Item:
        return {name: rows[0] for name, rows in self.apply(self.draws([index])).items()}

    def size(self) -> int:
        """Bytes of the arrays that items are made from."""
        return sum(size_of(volumes.tensors()) for volumes in self.volumes)

    def keep_on(self, device: torch.device) -> None:
        """From now on these arrays lie on this device, and so do the items."""
        self.home = device
        self.volumes = [volumes.on(device) for volumes in self.volumes]

    @abstractmethod
    def draws(self, numbers: Sequence[int]) -> Sequence[Any]:
        """What chance decides about the items of these numbers."""

    @abstractmethod
    def apply(self, draws: Sequence[Any]) -> Item:
        """The batch of items that draws describe, with their number N before all other axes."""


def by_participant(visits: Sequence[Stored], numbers: Iterable[int]) -> list[list[int]]:
    """Of these positions among the visits, those of each participant, by label."""
    people: dict[str, list[int]] = {}
    for number in numbers:
        people.setdefault(visits[number].participant, []).append(number)
    return [people[label] for label in sorted(people)]


def volumes_of(visit: Stored) -> Volumes:
    """The arrays of a stored visit where they are; nothing is read."""
    images, extras = (
        {name: tensor_of(array) for name, array in arrays.items()}
        for arrays in (visit.images, visit.extras)
    )
    return Volumes(images, tensor_of(visit.mask), extras)


def tensor_of(array: npt.NDArray[Any]) -> torch.Tensor:
    """A tensor that shares the memory of an array, a memory-mapped one too, and only reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Torch warns of arrays that must not be written to.
        return torch.from_numpy(np.asarray(array))


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on a device; of a single value that is spread out only that value is copied."""
    if tensor.numel() and not any(tensor.stride()):
        return tensor.flatten()[:1].to(device).view([1] * tensor.dim()).expand_as(tensor)
    return tensor.to(device)


def size_of(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes that tensors take; one for each that is a single value, spread out."""
    return sum(t.nbytes if any(t.stride()) else t.element_size() for t in tensors)


def home_of(size: float, device: torch.device, free: float) -> torch.device:
    """Where arrays of `size` bytes lie for a fit on a device with `free` bytes of memory.

    On the device where they take at most SHARE of that, else on the processor.

    >>> [home_of(size, torch.device("cuda", 0), free=8e9).type for size in (3e9, 5e9)]
    ['cuda', 'cpu']
    """
    fits = device.type == "cpu" or size <= SHARE * free
    return device if fits else torch.device("cpu")


def free_on(device: torch.device) -> float:
    """Bytes of a card that are free now; those of the processor are never asked for."""
    if device.type != "cuda":
        return 0.0
    return float(torch.cuda.mem_get_info(device)[0])


def batches(
    items: Items, numbers: Iterable[int], batch: int, device: torch.device
) -> Generator[Item]:
    """Items of these numbers, `batch` at a time, on a device; the next ones are made meanwhile.

    Where the arrays lie on a card, chance alone is drawn ahead and the card cuts its patches;
    otherwise whole batches are made ahead, and go to the card from pinned memory.
    """
    items.keep_on(home_of(items.size(), device, free_on(device)))
    groups = grouped(numbers, batch)
    if device.type == "cpu":
        return ahead(groups, lambda group: items.apply(items.draws(group)), dict)
    if items.home == device:
        return ahead(groups, items.draws, items.apply)
    return ahead(
        groups,
        lambda group: pinned(items.apply(items.draws(group))),
        lambda made: {k: v.to(device, non_blocking=True) for k, v in made.items()},
    )


def pinned(item: Item) -> Item:
    """In memory that a card can read while it computes."""
    return {name: tensor.pin_memory() for name, tensor in item.items()}


def grouped(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
    """So many at a time, the last ones fewer.

    >>> list(grouped(range(5), 2))
    [[0, 1], [2, 3], [4]]
    """
    rest = iter(numbers)
    while group := list(islice(rest, size)):
        yield group


def ahead(
    groups: Iterator[list[int]],
    prepare: Callable[[list[int]], Any],
    finish: Callable[[Any], Item],
) -> Generator[Item]:
    """finish(prepare(group)) of each group in turn; a thread prepares the next AHEAD of them.

    What `prepare` raises is raised where its batch would have come.
    """
    with ThreadPoolExecutor(1, "batches") as pool:
        waiting = deque(pool.submit(prepare, group) for group in islice(groups, AHEAD))
        try:
            while waiting:
                made = waiting.popleft().result()
                waiting.extend(pool.submit(prepare, group) for group in islice(groups, 1))
                yield finish(made)
        finally:
            pool.shutdown(cancel_futures=True)
