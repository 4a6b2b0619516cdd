"""Augment: small random changes of a patch, drawn as data and then applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

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


def bent(images: torch.Tensor, bends: Sequence[Bend], inside: torch.Tensor) -> torch.Tensor:
    """Scaled images (R, ...) as other scanners might have made them; 0 where not `inside`.

    The curves are odd: what lies below 0 is bent as what lies above. Noise is drawn on the
    processor, so that it is the same whatever device the images are on.

    >>> bend = Bend(tuple(2 * KNOTS), 0.0, 0)
    >>> bent(torch.tensor([[-1.0, 0.0, 3.0, 9.0]]), [bend], torch.ones(4)).tolist()
    [[-2.0, 0.0, 6.0, 16.0]]
    """
    results = []
    for image, bend in zip(images, bends, strict=True):
        values = on_curve(image, bend.become) if bend.become else image
        if bend.noise:
            drawn = np.random.default_rng(bend.seed).standard_normal(image.shape, np.float32)
            values = values + bend.noise * torch.from_numpy(drawn).to(image.device)
        results.append(torch.where(inside > 0, values, 0).float())
    return torch.stack(results)


def on_curve(image: torch.Tensor, become: Sequence[float]) -> torch.Tensor:
    """Values of any shape after the odd curve through KNOTS, flat beyond the last one; float64."""
    knots = torch.tensor(KNOTS, device=image.device)
    heights = torch.tensor(become, dtype=torch.float64, device=image.device)
    sizes = image.double().abs().clamp_max(float(KNOTS[-1]))
    part = torch.bucketize(sizes, knots[1:-1], right=True)
    slopes = heights.diff() / knots.diff()
    return image.sign() * ((sizes - knots[part]) * slopes[part] + heights[part])
