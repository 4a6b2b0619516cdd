"""Prepared visits and models made on the spot, so that a stage can be timed alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from scipy import ndimage

from bids_synth.core.scale import Scale
from bids_synth.core.visit import Prepared, Scan, Visit
from bids_synth.learn.networks import build_network, laid_out
from bids_synth.learn.synthesize import Synthesizer
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.grid import Grid, Shape
from bids_synth.spatial.itk import write_itk
from bids_synth.spatial.template import template_mask, template_t1w
from bids_synth.spatial.volume import Volume, write_volume


def whole_brain(folder: Path, shape: Shape) -> Prepared:
    """The template's brain as a prepared visit that fills a grid of `shape` at 1 mm."""
    brain, mask = template_t1w(), template_mask()
    start = [(have - want) // 2 for have, want in zip(brain.grid.shape, shape, strict=True)]
    grid = brain.grid.crop(start, [a + n for a, n in zip(start, shape, strict=True)])
    box = tuple(slice(max(a, 0), a + n) for a, n in zip(start, shape, strict=True))
    t1w = _fitted(brain.array[box], shape)
    inside = _fitted(mask.array[box], shape)
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=shape), 1)
    inverted = (255 - t1w + 50 * noise) * inside
    arrays = {"T1w": t1w, "PDw": inverted, "FLAIR": (t1w + 50 * noise) * inside}
    images = {
        m: write_volume(Volume(a.astype(np.float32), grid), folder / f"{m}.nii.gz")
        for m, a in arrays.items()
    }
    path = write_volume(Volume(inside.astype(np.uint8), grid), folder / "mask.nii.gz")
    return prepared_of(grid, images, path)


def _fitted(array: np.ndarray, shape: Shape) -> np.ndarray:
    padded = np.zeros(shape, array.dtype)
    i, j, k = array.shape
    padded[:i, :j, :k] = array
    return padded


def prepared_of(
    grid: Grid, images: dict[str, Path], mask: Path, *, participant: str = "01"
) -> Prepared:
    """A visit whose images lie on one grid already, with values from 0 to 255."""
    scans = {m: Scan(m, path, {"sub": participant}) for m, path in images.items()}
    identity = write_itk(np.eye(4), mask.with_name("identity.txt"))
    return Prepared(
        visit=Visit(participant, None, scans),
        reference="T1w",
        native=grid,
        grid=grid,
        images=images,
        mask=mask,
        native_mask=mask,
        transforms={m: identity for m in images if m != "T1w"},
        template=identity,
        scales={m: Scale(0.0, 255.0) for m in images},
        quality={},
        stripped=True,
        key=participant.zfill(64),
    )


def untrained_synthesizer(recipe: Recipe) -> Synthesizer:
    """As many networks as the recipe has members, with the weights that they start from."""
    torch.manual_seed(1)
    networks = tuple(
        laid_out(build_network(recipe), recipe).eval() for _ in range(recipe.fit.members)
    )
    scales = dict.fromkeys(recipe.targets, Scale(0.0, 255.0))
    model = SimpleNamespace(recipe=recipe, scales=scales, name="untrained")
    return Synthesizer(cast("Any", model), networks, torch.device("cpu"))
