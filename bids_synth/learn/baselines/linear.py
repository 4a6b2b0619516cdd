"""Linear: least squares from any subset of images, from sums over the training voxels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.data.mean_image import Population
from bids_synth.recipe.recipe import Recipe

Gram = npt.NDArray[np.float64]
SHARED = 0.25
"""Share of the participants that must have a voxel for its mean to count: the edge of a brain,
where fluid is, differs between heads and must not be lost."""


@dataclass(frozen=True, eq=False)
class Gramian:
    """Sums of products of all images (and a constant) over voxels, one per set of images.

    Visits that have the same images are summed together, so that any subset can be solved
    from exactly those visits that have it.
    """

    modalities: tuple[str, ...]
    """Order of rows and columns; the constant comes last."""
    sums: Mapping[tuple[str, ...], Gram]
    """Modalities present -> (M + 1, M + 1) sums of products; rows of absent ones are 0."""

    def solve(self, sources: Sequence[str], target: str) -> npt.NDArray[np.float64]:
        """Coefficients (M + 1,) in the order of `modalities`, then the constant.

        Where no visit has all of the sources and the target, the largest subset of the
        sources that some visit has is used; with none, the mean of the target.
        """
        result = np.zeros(len(self.modalities) + 1)
        used, total = self._most_sources(sources, target)
        if total is not None:
            columns = [*(self.modalities.index(s) for s in used), len(self.modalities)]
            right = total[columns, self.modalities.index(target)]
            result[columns] = np.linalg.lstsq(total[np.ix_(columns, columns)], right)[0]
        return result

    def table(self, sources: Sequence[str], targets: Sequence[str]) -> npt.NDArray[np.float32]:
        """Coefficients for every subset of sources: (2^S, T, S + 1), as the network keeps them.

        Row n is the subset of those sources s for which bit s of n is set. A target that is
        itself given is passed through. Where its closed form is given, the answer is a line of
        that alone: the maps that it is made of bring it no more than the noise of single voxels.
        """
        table = np.zeros((2 ** len(sources), len(targets), len(sources) + 1), dtype=np.float32)
        columns = [*(self.modalities.index(s) for s in sources), len(self.modalities)]
        for number in range(len(table)):
            subset = [s for bit, s in enumerate(sources) if number >> bit & 1]
            for row, target in enumerate(targets):
                if target in subset:
                    table[number, row, sources.index(target)] = 1
                else:
                    table[number, row] = self.answer(subset, target)[columns]
        return table

    def answer(self, sources: Sequence[str], target: str) -> npt.NDArray[np.float64]:
        """Coefficients as of `solve`; of the closed form of the target alone where it is there."""
        closed = f"closed-{target}"
        return self.solve([closed] if closed in sources else sources, target)

    def _most_sources(
        self, sources: Sequence[str], target: str
    ) -> tuple[tuple[str, ...], Gram | None]:
        for count in range(len(sources), -1, -1):
            for used in combinations(sources, count):
                needed = {*used, target}
                grams = [s for present, s in self.sums.items() if needed <= set(present)]
                if grams:
                    return used, np.sum(grams, axis=0)
        return (), None


def gramian_of_inputs(recipe: Recipe, training: Sequence[Stored]) -> Gramian:
    """From the stored images and extras of the training visits, one visit in memory."""
    names = (*recipe.modalities, *recipe.inputs[len(recipe.sources) :])
    grams = []
    for visit in training:
        images = {**visit.images, **visit.extras}
        there = tuple(name for name in names if name in images)
        grams.append((there, gram_of(names, images, counted(recipe, images, visit.mask))))
    return add_grams(names, grams)


def gramian_of_means(modalities: Sequence[str], population: Population) -> Gramian:
    """From the mean images in template space: what can be said of two modalities without pairs.

    Participants lie in one anatomy there, so a voxel of one mean image answers to the same voxel
    of the other although nobody has both. Voxels that few participants share are left out.
    Empty where a modality was never seen.
    """
    names = tuple(modalities)
    if not set(names) <= set(population.images):
        return Gramian(names, {})
    weights = [population.weights[name] for name in names]
    shared = np.all([weight > SHARED * weight.max() for weight in weights], axis=0)
    means = {
        name: population.images[name] / np.where(shared, weight, 1)
        for name, weight in zip(names, weights, strict=True)
    }
    return Gramian(names, {names: gram_of(names, means, shared)})


def counted(
    recipe: Recipe, images: Mapping[str, npt.NDArray[Any]], mask: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """How much each voxel of a visit counts, (I, J, K): the mask, or for a logarithm its weight.

    An error of ln y is one of y times y: least squares of the value, not of its logarithm, need
    the weight y^2, or the fit is that of the darkest voxels. Of several targets, the mean.
    """
    squares = [
        np.exp(2 * gain * (np.asarray(images[target], np.float64) - 1))
        for target in recipe.targets
        if target in images and (gain := recipe.log_gain(target)) is not None
    ]
    return np.asarray(mask) * np.mean(squares, axis=0) if squares else np.asarray(mask)


def gram_of(
    modalities: Sequence[str], images: Mapping[str, npt.NDArray[Any]], mask: npt.NDArray[Any]
) -> Gram:
    """Sums of products over the voxels of one visit, each times its value in `mask`; float64."""
    inside = mask > 0
    rows = np.zeros((len(modalities) + 1, int(inside.sum())))
    rows[-1] = 1
    for n, modality in enumerate(modalities):
        if modality in images:
            rows[n] = images[modality][inside]
    return np.asarray((rows * mask[inside]) @ rows.T)


def add_grams(modalities: Sequence[str], grams: Sequence[tuple[tuple[str, ...], Gram]]) -> Gramian:
    """Sum over visits, apart for every set of present images."""
    sums: dict[tuple[str, ...], Gram] = {}
    for present, gram in grams:
        sums[present] = sums.get(present, 0) + gram
    return Gramian(tuple(modalities), sums)
