"""Phantoms: the same heads as NIfTI, in memory, and in the store of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from benchmarks.stages.measured import SEED
from benchmarks.toys import prepared_of
from bids_synth.core.visit import Prepared
from bids_synth.learn.data.array_cache import Stored, open_store
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.grid import Grid, Shape
from bids_synth.spatial.template import template_mask, template_t1w
from bids_synth.spatial.volume import Volume, write_volume

TOP = 255.0
"""The value that becomes 1."""


@dataclass(frozen=True, eq=False)
class Phantom:
    """One head; what every side of a comparison learns from."""

    images: Mapping[str, npt.NDArray[np.float32]]
    """Modality or map -> (I, J, K), scaled to about [0, 1], 0 outside the mask."""
    mask: npt.NDArray[np.uint8]
    """(I, J, K), 1 inside."""
    files: Mapping[str, Path]
    """Modality, map or `mask` -> NIfTI, values from 0 to 255."""
    prepared: Prepared


@dataclass(frozen=True, eq=False)
class MeanMaps:
    """The maps beside the images, as `open_store` wants them."""

    phantoms: Mapping[str, Phantom]

    def maps(self, prepared: Prepared, _: npt.NDArray[Any]) -> Mapping[str, Any]:
        """The mean images of the phantom."""
        images = self.phantoms[prepared.visit.participant].images
        return {name: image for name, image in images.items() if name.startswith("mean-")}

    def digest(self, prepared: Prepared) -> str:
        """The same for ever: a phantom is made of its number."""
        return prepared.key


def make_phantoms(folder: Path, shape: Shape, count: int) -> list[Phantom]:
    """Heads of the template's brain, stretched to `shape` voxels, with all images of the recipes.

    No two have the same intensities; the same arguments give the same heads.
    """
    brain, inside = template_t1w().array / TOP, template_mask().array
    stretch = [want / have for want, have in zip(shape, brain.shape, strict=True)]
    mask = ndimage.zoom(inside, stretch, order=0).astype(np.uint8)
    t1w = ndimage.zoom(brain.astype(np.float32), stretch, order=1) * mask
    return [_phantom(folder / f"{n:02d}", t1w, mask, n) for n in range(count)]


def stored(phantoms: Sequence[Phantom], recipe: Recipe, work: Path) -> list[Stored]:
    """The arrays of a fit by a recipe, made by the program's own code."""
    maps = MeanMaps({p.prepared.visit.participant: p for p in phantoms})
    extras = maps if recipe.extras.mean else None
    prepared = [phantom.prepared for phantom in phantoms]
    return open_store(prepared, tuple(recipe.modalities), work, extras)


def _phantom(
    folder: Path, t1w: npt.NDArray[np.float32], mask: npt.NDArray[np.uint8], number: int
) -> Phantom:
    rng = np.random.default_rng([SEED, number])

    def noise(width: float) -> npt.NDArray[np.float32]:
        drawn = ndimage.gaussian_filter(rng.standard_normal(t1w.shape, np.float32), width)
        return np.asarray(drawn / drawn.std(), np.float32)

    t1w = np.clip(t1w + 0.03 * noise(0.7), 0, 1)
    images = {
        "T1w": t1w,
        "T2w": np.exp(-3 * t1w) + 0.02 * noise(0.7),
        "PDw": 0.6 + 0.3 * (1 - t1w) + 0.05 * noise(2.0),
        "FLAIR": 1 - np.abs(2 * t1w - 1) + 0.02 * noise(0.7),
        "ct": (0.4 + 0.3 * (t1w > 0.6) - 0.2 * t1w) + 0.02 * noise(0.7),
    }
    images = {m: np.asarray(image.clip(0, 1) * mask, np.float32) for m, image in images.items()}
    images["mean-ct"] = ndimage.gaussian_filter(images["ct"], 2.0) * mask
    grid = Grid(t1w.shape, np.eye(4))
    files = {
        name: write_volume(Volume(TOP * image, grid), folder / f"{name}.nii.gz")
        for name, image in images.items()
    }
    outline = write_volume(Volume(mask, grid), folder / "mask.nii.gz")
    scans = {m: path for m, path in files.items() if not m.startswith("mean-")}
    prepared = prepared_of(grid, scans, outline, participant=f"{number:02d}")
    return Phantom(images, mask, {**files, "mask": outline}, prepared)
