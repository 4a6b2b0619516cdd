"""Sampling as nnU-Net describes it (Isensee 2021, doi:10.1038/s41592-020-01008-z), written anew.

Volumes are memory-mapped .npy files. One of three patches lies around a random voxel of the
foreground, the others anywhere. The augmentation is that of the supplementary notes: rotation
and scaling from a larger crop, noise, blur, brightness, contrast, low resolution, gamma, mirrors;
targets and mask, the segmentation there, follow the geometry alone. Without augmentation a patch
is mirrored and its sources get a gain, as ours are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from benchmarks.peers.phantoms import Phantom
from benchmarks.peers.turns import Watch
from benchmarks.stages.measured import SEED
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.grid import Shape

Array = npt.NDArray[np.float32]
FOREGROUND = 1 / 3
"""Chance of a patch around a voxel of the foreground."""
TURN, GROW = 30.0, (0.7, 1.4)
"""Largest rotation about each axis, degrees; smallest and largest scale."""


@dataclass(frozen=True, eq=False)
class Case:
    """One volume on the disk."""

    images: npt.NDArray[np.float32]
    """(S + T + 1, I, J, K), memory-mapped: sources, targets, mask."""
    foreground: npt.NDArray[np.int64]
    """(N, 3), voxels of the mask, as nnU-Net keeps some of every class."""


def write_cases(folder: Path, phantoms: Sequence[Phantom], recipe: Recipe) -> list[Case]:
    """One file for each head."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for number, phantom in enumerate(phantoms):
        path = folder / f"{number:02d}.npy"
        images = [phantom.images[m] for m in (*recipe.inputs, *recipe.targets)]
        np.save(path, np.stack([*images, phantom.mask.astype(np.float32)]))
        voxels = np.argwhere(phantom.mask)
        rng = np.random.default_rng([SEED, number])
        kept = voxels[rng.choice(len(voxels), min(10_000, len(voxels)), replace=False)]
        cases.append(Case(np.load(path, mmap_mode="r"), kept))
    return cases


class NumpySampling:
    """Batches of augmented patches, in this very process."""

    parameters = 0

    def __init__(self, recipe: Recipe, cases: Sequence[Case], *, augment: bool) -> None:
        self.patch, self.samples, self.cases = recipe.fit.patch, recipe.fit.batch, cases
        self.sources, self.augment = len(recipe.inputs), augment
        self.rng = np.random.default_rng(SEED)

    def run(self, steps: int, watch: Watch) -> None:
        """So many batches."""
        for batch in islice(self.batches(), steps):
            watch.note(torch.from_numpy(batch[:, : self.sources]))

    def batches(self) -> Iterator[Array]:
        """(N, S + T + 1, I, J, K), without end."""
        while True:
            yield np.stack([self._one() for _ in range(self.samples)])

    def _one(self) -> Array:
        rng = self.rng
        case = self.cases[rng.integers(len(self.cases))]
        if not self.augment:
            patch = mirrored(crop(case.images, self._centre(case), self.patch), (0,), rng)
            patch[: self.sources] *= rng.uniform(0.9, 1.1, (self.sources, 1, 1, 1))
            return patch
        angles = rng.uniform(-TURN, TURN, 3) if rng.random() < 0.2 else np.zeros(3)
        scale = rng.uniform(*GROW) if rng.random() < 0.2 else 1.0
        moved = self._moved(case, angles, scale)
        changed = intensities(moved[: self.sources], rng)
        return mirrored(np.concatenate([changed, moved[self.sources :]]), (0, 1, 2), rng)

    def _centre(self, case: Case) -> npt.NDArray[np.int64]:
        if self.rng.random() < FOREGROUND:
            return case.foreground[self.rng.integers(len(case.foreground))]
        half = [p // 2 for p in self.patch]
        shape = case.images.shape[1:]
        spans = [(min(h, n - 1), max(h, n - h)) for h, n in zip(half, shape, strict=True)]
        return np.array([self.rng.integers(low, high + 1) for low, high in spans])

    def _moved(self, case: Case, angles: npt.NDArray[Any], scale: float) -> Array:
        """The patch rotated and scaled about its centre, from a crop that holds its corners."""
        centre = self._centre(case)
        if scale == 1 and not angles.any():
            return crop(case.images, centre, self.patch)
        matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * scale
        reach = np.abs(matrix) @ (np.array(self.patch) / 2)
        wide = crop(case.images, centre, [2 * int(np.ceil(r)) + 4 for r in reach])
        middle = (np.array(wide.shape[1:]) - 1) / 2
        offset = middle - matrix @ ((np.array(self.patch) - 1) / 2)
        moved = [
            ndimage.affine_transform(image, matrix, offset, self.patch, order=3) for image in wide
        ]
        return np.asarray(moved, np.float32)


def crop(images: npt.NDArray[Any], centre: Sequence[int], patch: Sequence[int] | Shape) -> Array:
    """A copy of the window (C, *patch) around a voxel; zeros beyond the edge."""
    low = [int(c) - p // 2 for c, p in zip(centre, patch, strict=True)]
    shape = images.shape[1:]
    inside = tuple(
        slice(max(0, a), min(n, a + p)) for a, p, n in zip(low, patch, shape, strict=True)
    )
    part = images[(slice(None), *inside)]
    before = [max(0, -a) for a in low]
    missing = [(b, p - b - n) for b, p, n in zip(before, patch, part.shape[1:], strict=True)]
    return np.pad(part, [(0, 0), *missing])


def mirrored(images: Array, axes: Sequence[int], rng: np.random.Generator) -> Array:
    """Each axis turned round half of the time."""
    chosen = [axis + 1 for axis in axes if rng.random() < 0.5]
    return np.ascontiguousarray(np.flip(images, chosen)) if chosen else images


def intensities(sources: Array, rng: np.random.Generator) -> Array:
    """All that changes grey values: each with its chance, each source by itself."""
    result = sources.copy()
    if rng.random() < 0.15:
        result += rng.normal(0, rng.uniform(0, 0.1), result.shape).astype(np.float32)
    for chance, change in ((0.2, _blurred), (0.15, _brighter), (0.15, _contrast),
                           (0.25, _coarser), (0.15, _gamma)):  # fmt: skip
        if rng.random() < chance:
            for number, image in enumerate(result):
                if rng.random() < 0.5 or change in (_brighter, _contrast, _gamma):
                    result[number] = change(image, rng)
    return result


def _blurred(image: Array, rng: np.random.Generator) -> Array:
    return np.asarray(ndimage.gaussian_filter(image, rng.uniform(0.5, 1.5)), np.float32)


def _brighter(image: Array, rng: np.random.Generator) -> Array:
    return image * np.float32(rng.uniform(0.7, 1.3))


def _contrast(image: Array, rng: np.random.Generator) -> Array:
    mean = image.mean()
    stretched = (image - mean) * np.float32(rng.uniform(0.65, 1.5)) + mean
    return np.clip(stretched, image.min(), image.max())


def _coarser(image: Array, rng: np.random.Generator) -> Array:
    share = 1 / rng.uniform(1, 2)
    small = ndimage.zoom(image, share, order=0)
    back = [n / m for n, m in zip(image.shape, small.shape, strict=True)]
    return np.asarray(ndimage.zoom(small, back, order=3), np.float32)


def _gamma(image: Array, rng: np.random.Generator) -> Array:
    low, span = image.min(), np.ptp(image) + 1e-7
    return np.asarray(((image - low) / span) ** rng.uniform(0.7, 1.5) * span + low, np.float32)
