"""Rivals: what can be made without a network: copy, line, tissue curve and boosted trees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from sklearn.ensemble import HistGradientBoostingRegressor  # type: ignore[import-untyped]

from benchmarks.real.people import DIRECTIONS, MODALITIES, Direction
from bids_synth.core.visit import Prepared
from bids_synth.learn.baselines.baselines import fit_baselines
from bids_synth.learn.data.array_cache import scaled_image
from bids_synth.recipe.recipe import load_recipe

Image = npt.NDArray[np.float32]
Answers = Iterator[tuple[str, Direction, Image]]
"""Participant, direction and the image, in the target's own unit."""
SMOOTHINGS = (1, 2, 4, 8)
SAMPLE = 100_000
"""Voxels of all teaching participants that one forest learns from."""


def baseline(name: str, teaching: Sequence[Prepared], tested: Sequence[Prepared]) -> Answers:
    """One of the product's own baselines."""
    known = fit_baselines(load_recipe("impute").limited_to(MODALITIES), teaching)
    for person in tested:
        for sources, target in DIRECTIONS:
            scale = person.scales[target]
            made = known.estimate(name, person, target, sources=sources, scale=scale)
            yield person.visit.participant, (sources, target), made.array


def copy(teaching: Sequence[Prepared], tested: Sequence[Prepared]) -> Answers:
    """The nearest source itself."""
    return baseline("copy", teaching, tested)


def line(teaching: Sequence[Prepared], tested: Sequence[Prepared]) -> Answers:
    """Least squares from the values of the sources."""
    return baseline("linear", teaching, tested)


def tissue_curve(teaching: Sequence[Prepared], tested: Sequence[Prepared]) -> Answers:
    """Levels of each source's own tissues to those that the target has in others."""
    return baseline("tissue-curve", teaching, tested)


def trees(teaching: Sequence[Prepared], tested: Sequence[Prepared]) -> Answers:
    """Boosted trees on twelve features of each voxel, one forest for each direction."""
    people = [*teaching, *tested]
    features = {p.label: {m: _features(p, m) for m in MODALITIES} for p in people}
    places = {p.label: _places(p) for p in people}

    def seen(person: Prepared, sources: Sequence[str]) -> npt.NDArray[np.float32]:
        columns = [c for source in sources for c in features[person.label][source]]
        return np.stack([*columns, *places[person.label]], axis=1)

    for sources, target in DIRECTIONS:
        forest, rng = HistGradientBoostingRegressor(max_iter=200), np.random.default_rng(0)
        shown, real = [], []
        for person in teaching:
            inside = person.mask_image.array > 0
            rows = rng.choice(int(inside.sum()), SAMPLE // len(teaching), replace=False)
            shown.append(seen(person, sources)[rows])
            real.append(_images(person)[target][inside][rows])
        forest.fit(np.concatenate(shown), np.concatenate(real))
        for person in tested:
            inside = person.mask_image.array > 0
            scaled = np.zeros(inside.shape, np.float32)
            scaled[inside] = forest.predict(seen(person, sources))
            made = np.where(inside, person.scales[target].invert(scaled), 0)
            yield person.visit.participant, (sources, target), made


RIVALS: Mapping[str, Callable[[Sequence[Prepared], Sequence[Prepared]], Answers]] = {
    "copy": copy,
    "line": line,
    "tissue curve": tissue_curve,
    "trees": trees,
}


def _images(person: Prepared) -> dict[str, Image]:
    mask = person.mask_image.array
    return {m: scaled_image(person, m, mask) for m in MODALITIES}


def _features(person: Prepared, modality: str) -> list[npt.NDArray[np.float32]]:
    image, inside = _images(person)[modality], person.mask_image.array > 0
    weight = inside.astype(np.float32)
    seen = [image]
    for sigma in SMOOTHINGS:
        share = np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-3)
        seen.append(ndimage.gaussian_filter(image * weight, sigma) / share)
    seen.append(ndimage.gaussian_gradient_magnitude(image, 1))
    seen += [ndimage.maximum_filter(image, 3), ndimage.minimum_filter(image, 3)]
    return [one[inside].astype(np.float32) for one in seen]


def _places(person: Prepared) -> list[npt.NDArray[np.float32]]:
    """Depth below the mask's edge, and the position from its middle."""
    inside = person.mask_image.array > 0
    depth = ndimage.distance_transform_edt(inside)[inside]
    where = np.argwhere(inside).astype(np.float32)
    return [depth.astype(np.float32), *(where - where.mean(axis=0)).T]
