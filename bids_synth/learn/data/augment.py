"""Augment: small random changes of a patch, drawn as data and then applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.core.modality import MODALITIES
from bids_synth.recipe.recipe import Recipe

KNOTS = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 4.0, 8.0])
"""Where the slope of a random curve changes, in scaled numbers."""


@dataclass(frozen=True)
class Bend:
    """What another scanner might have made of one source: another curve, and noise."""

    become: tuple[float, ...]
    """What the values at `KNOTS` become; empty where they stay."""
    noise: float
    """Standard deviation, scaled numbers."""
    seed: int
    """Of the noise."""


@dataclass(frozen=True)
class Change:
    """What is done to one patch."""

    flip: bool
    """Mirror left to right, all images alike."""
    gains: tuple[float, ...]
    """Factor of each source, in the recipe's order."""
    bends: tuple[Bend, ...] = ()
    """Of each source, in the recipe's order; empty where none is bent."""


def draw_change(recipe: Recipe, rng: np.random.Generator) -> Change:
    """A flip and a gain per source; images with a physical unit keep theirs."""
    flip = bool(rng.random() < recipe.fit.flip)
    width = recipe.fit.intensity
    factors = 1 + rng.uniform(-width, width, len(recipe.sources))
    free = [MODALITIES[m].arbitrary for m in recipe.sources]
    gains = tuple(float(g) if f else 1.0 for g, f in zip(factors, free, strict=True))
    return Change(flip, gains)


def draw_bends(recipe: Recipe, rng: np.random.Generator) -> tuple[Bend, ...]:
    """A curve and noise for each source; images with a physical unit keep their values.

    Nothing is drawn where the recipe asks for neither.
    """
    fit = recipe.fit
    if not fit.curve and not fit.noise:
        return ()
    bends = []
    for modality in recipe.sources:
        slopes = np.exp(rng.normal(0, fit.curve, len(KNOTS) - 1))
        become = np.concatenate([[0.0], np.cumsum(np.diff(KNOTS) * slopes)])
        become = become / np.interp(1.0, KNOTS, become)
        noise, seed = float(rng.uniform(0, fit.noise)), int(rng.integers(2**31))
        free = MODALITIES[modality].arbitrary
        bends.append(Bend(tuple(become.tolist()), noise, seed) if free else Bend((), 0.0, seed))
    return tuple(bends)


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


def bent(image: npt.NDArray[Any], bend: Bend, inside: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """A scaled image as another scanner might have made it; what is not `inside` stays 0.

    The curve is odd: what lies below 0 is bent as what lies above.

    >>> bend = Bend(tuple(2 * KNOTS), 0.0, 0)
    >>> bent(np.array([-1.0, 0.0, 3.0, 9.0]), bend, np.ones(4)).tolist()
    [-2.0, 0.0, 6.0, 16.0]
    """
    values = np.asarray(image, np.float32)
    if bend.become:
        values = np.sign(values) * np.interp(np.abs(values), KNOTS, bend.become)
    if bend.noise:
        drawn = np.random.default_rng(bend.seed).standard_normal(values.shape, np.float32)
        values = values + bend.noise * drawn
    return np.asarray(values * (inside > 0), np.float32)
