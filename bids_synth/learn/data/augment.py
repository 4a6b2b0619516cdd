"""Augment: small random changes of a patch, drawn as data and then applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.core.modality import MODALITIES
from bids_synth.recipe.recipe import Recipe


@dataclass(frozen=True)
class Change:
    """What is done to one patch."""

    flip: bool
    """Mirror left to right, all images alike."""
    gains: tuple[float, ...]
    """Factor of each source, in the recipe's order."""


def draw_change(recipe: Recipe, rng: np.random.Generator) -> Change:
    """A flip and a gain per source; images with a physical unit keep theirs."""
    flip = bool(rng.random() < recipe.fit.flip)
    width = recipe.fit.intensity
    factors = 1 + rng.uniform(-width, width, len(recipe.sources))
    free = [MODALITIES[m].arbitrary for m in recipe.sources]
    gains = tuple(float(g) if f else 1.0 for g, f in zip(factors, free, strict=True))
    return Change(flip, gains)


def mirror(array: npt.NDArray[Any], change: Change) -> npt.NDArray[Any]:
    """Left and right exchanged where the change says so; arrays are (..., I, J, K) in RAS.

    >>> mirror(np.arange(3).reshape(3, 1, 1), Change(True, ())).ravel().tolist()
    [2, 1, 0]
    """
    return np.ascontiguousarray(np.flip(array, axis=-3)) if change.flip else array


def amplify(sources: npt.NDArray[Any], gains: Sequence[float]) -> npt.NDArray[np.float32]:
    """Each source (S, I, J, K) times its gain."""
    factors = np.asarray(gains, dtype=np.float32)[:, None, None, None]
    return np.asarray(sources, dtype=np.float32) * factors
