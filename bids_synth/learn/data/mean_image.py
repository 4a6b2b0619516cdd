"""Population: the mean image of the training participants in template space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.core.coverage import shared_mask
from bids_synth.core.visit import Prepared
from bids_synth.learn.data.array_cache import scaled_image
from bids_synth.spatial.grid import Affine, Grid
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.template import template_grid

SPACING = 4.0
"""Voxel size of the mean images, mm: what an affine alignment of brains resolves."""
MARGIN = 12.0
"""How far the mean images reach beyond the template, mm."""


@dataclass(frozen=True, eq=False)
class Population:
    """Sums of scaled images and of masks on a coarse template grid."""

    grid: Grid
    """Where the sums lie, in the template's space."""
    images: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    """Modality -> sum over visits of scaled image times mask."""
    weights: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    """Modality -> sum over visits of the mask."""

    def add(self, prepared: Prepared, modality: str, image: Any, mask: Any) -> None:
        """Add one scaled image; this is how the sums grow while fitting."""
        matrix = _index_map(self.grid, prepared, prepared.grid)
        for sums, values in ((self.images, image), (self.weights, mask)):
            moved = _resample(np.asarray(values, np.float32), matrix, self.grid.shape)
            sums[modality] = sums.get(modality, np.zeros(self.grid.shape, np.float32)) + moved

    def on(self, prepared: Prepared, modality: str) -> npt.NDArray[np.float32]:
        """The mean image on a visit's grid, scaled; the overall mean where nobody had a voxel."""
        image, weight = self.images[modality], self.weights[modality]
        matrix: npt.NDArray[Any] = np.linalg.inv(_index_map(self.grid, prepared, prepared.grid))
        there = _resample(weight, matrix, prepared.grid.shape)
        summed = _resample(image, matrix, prepared.grid.shape)
        overall = float(image.sum() / max(float(weight.sum()), 1e-6))
        known = there > 0.05 * float(weight.max())
        return np.where(known, summed / np.where(known, there, 1), overall).astype(np.float32)


def empty_population() -> Population:
    """Nothing summed yet, on the template's field of view and a little more."""
    grid = template_grid()
    n = [round(MARGIN / s) for s in grid.spacing]
    wider = grid.crop([-m for m in n], [m + k for m, k in zip(n, grid.shape, strict=True)])
    return Population(wider.with_spacing(SPACING))


def population_of(training: Sequence[Prepared], modalities: Sequence[str]) -> Population:
    """The mean images of these modalities over visits; one image in memory."""
    result = empty_population()
    for prepared in sorted(training, key=lambda p: p.label):
        mask = shared_mask(prepared)
        for modality in (m for m in modalities if m in prepared.images):
            result.add(prepared, modality, scaled_image(prepared, modality, mask), mask)
    return result


def _index_map(template: Grid, prepared: Prepared, grid: Grid) -> Affine:
    """Voxel index on `template` -> voxel index on the visit's grid."""
    to_reference = read_itk(prepared.template)
    result: Affine = np.linalg.inv(grid.affine) @ to_reference @ template.affine
    return result


def _resample(
    array: npt.NDArray[np.float32], matrix: npt.NDArray[Any], shape: Sequence[int]
) -> npt.NDArray[np.float32]:
    """Linear interpolation; `matrix` maps an index of the result to one of `array`.

    Images finer than the result are smoothed first, by half the ratio of the voxel sizes.
    """
    steps = np.linalg.norm(matrix[:3, :3], axis=1)
    smooth = ndimage.gaussian_filter(array, np.where(steps > 1.5, steps / 2, 0), mode="constant")
    moved = ndimage.affine_transform(
        smooth, matrix[:3, :3], matrix[:3, 3], tuple(shape), order=1, mode="constant"
    )
    return np.asarray(moved, dtype=np.float32)
