"""Intervals: how far from the real value each synthetic voxel may be, by held-out participants."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_synth.core.coverage import parts_of
from bids_synth.core.scale import Scale
from bids_synth.core.split import Split
from bids_synth.core.synthetic import Interval, Synthetic
from bids_synth.core.trust.interval import LEVEL, Array, fit_width, held_out_coverage
from bids_synth.core.trust.voxels import Ground, voxel_figures
from bids_synth.core.visit import Prepared
from bids_synth.errors import VisitError
from bids_synth.evaluate.scenarios import scored_mask, shows_enough
from bids_synth.evaluate.score import on_native
from bids_synth.evaluate.trust.image_figures import image_figures
from bids_synth.evaluate.truth import real_on_native
from bids_synth.learn.data.array_cache import scaled_image
from bids_synth.learn.data.training_statistics import Range, training_ranges
from bids_synth.learn.model.evidence import FactorEntry, IntervalEntry, interval_of
from bids_synth.learn.synthesize import Synthesizer
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.tasks import Task

LOG = logging.getLogger(__name__)
MOST_IMAGES = 60
"""Synthetic images that intervals are fitted on, as far as every participant has one of each."""
MOST_VOXELS = 60_000
"""Voxels of one image."""
RIM = 3
"""Voxels beside the plane between the halves of the head that tell nothing: the image ends."""
Scenario = tuple[str, tuple[str, ...]]
"""Target and sources."""
Withholding = Callable[[Prepared, Task], Prepared | None]
"""A visit and a task -> the preparation in which it is made and scored; None without one."""


@dataclass(frozen=True, eq=False)
class Errors:
    """One held-out image: how wrong it is where, and what was known there."""

    participant: str
    scenario: Scenario
    figures: Mapping[str, Array]
    """Name of a figure -> (V,)."""
    error: npt.NDArray[np.float32]
    """(V,) in scaled numbers, never below 0."""
    image: Mapping[str, float]
    """Figures of the image as a whole."""


def with_interval(
    synthetic: Synthetic, prepared: Prepared, entries: Sequence[IntervalEntry]
) -> Synthetic:
    """The image with an interval around every voxel; as it is where nobody knows how wide.

    On the prepared grid. Where a source does not reach, the interval is that of the others. Its
    lower end is never below what the unit can be, so that only the upper one is `half_width`
    away there.
    """
    mask = prepared.mask_image.array
    if synthetic.scale is None or not entries:
        return synthetic
    parts = parts_of(prepared, synthetic.sources, mask, least=1)
    inside = (synthetic.made_in or prepared.mask_image).array > 0
    known = [interval_of(entries, synthetic.modality, part.sources) for part in parts]
    if not parts or any(entry is None for entry in known):
        return synthetic
    figures = figures_of(synthetic, prepared)
    half = np.zeros(int(inside.sum()), np.float32)
    for part, entry in zip(parts, known, strict=True):
        if entry is not None:
            half += part.weight[inside] * entry.width.of(figures)
    whole = np.zeros(mask.shape, np.float32)
    whole[inside] = half * synthetic.scale.span
    first = next(entry for entry in known if entry is not None)
    return replace(
        synthetic,
        interval=Interval(
            synthetic.image.with_array(whole),
            first.level,
            first.participants,
            tuple(first.coverage),
        ),
    )


def figures_of(synthetic: Synthetic, prepared: Prepared) -> dict[str, npt.NDArray[np.float32]]:
    """What is known of the voxels that were made, each (V,); the image is on the prepared grid."""
    mask = prepared.mask_image.array > 0
    made = (synthetic.made_in or prepared.mask_image).array > 0
    scale = synthetic.scale or Scale(0.0, 1.0)
    answer = scale.apply(synthetic.image.array) * made
    sources = {m: partial(scaled_image, prepared, m, mask) for m in synthetic.sources}
    spread = synthetic.spread.array / scale.span if synthetic.spread else None
    figures = voxel_figures(answer, sources, _ground(_Visit.of(prepared)), spread)
    return {name: values[made[mask]] for name, values in figures.items()}


@dataclass(frozen=True)
class _Visit:
    """A prepared visit, known by what made it and by its files."""

    prepared: Prepared = field(compare=False)
    key: str
    files: tuple[Path, ...]
    changed: tuple[int, ...]

    @classmethod
    def of(cls, prepared: Prepared) -> _Visit:
        files = (prepared.mask, *prepared.images.values())
        return cls(prepared, prepared.key, files, tuple(f.stat().st_mtime_ns for f in files))


# Of the visit at hand: all images of a visit are made on one ground.
@lru_cache(maxsize=1)
def _ground(visit: _Visit) -> Ground:
    prepared = visit.prepared
    return Ground(prepared.mask_image.array > 0, prepared.grid.spacing)


def held_out_errors(
    synthesizer: Synthesizer,
    visits: Sequence[Prepared],
    split: Split,
    withheld: Withholding,
    *,
    seed: int,
) -> Iterator[Errors]:
    """The errors of images of validation participants by networks that did not learn from them.

    One half of each head, left and right in turn, which are alike: of a fold its own networks
    alone, and every set of sources, from the preparation that `withheld` gives, to which the
    target gave nothing.
    """
    weights, recipe = synthesizer.model.card.weights, synthesizer.model.recipe
    corrected = recipe.preparation.bias_correction
    for number, (fold, visit, tasks) in enumerate(validation_tasks(recipe, visits, split)):
        networks = zip(synthesizer.networks, weights, strict=True)
        chosen = tuple(network for network, entry in networks if entry.fold == fold)
        own = replace(synthesizer, networks=chosen, last={})
        # Targets that are made of the same sources come from one pass.
        for task in sorted(tasks, key=lambda t: t.sources):
            rng = np.random.default_rng([seed, number])
            try:
                prepared = withheld(visit, task)
                if prepared is None:
                    continue
                half = half_of(prepared, left=number % 2 == 0)
                image = own.synthesize(prepared, task.target, sources=task.sources, within=half)
                yield errors_of(image, prepared, rng, corrected=corrected)
            except VisitError as error:
                LOG.warning("says nothing of how wide intervals must be: %s", error)


def validation_tasks(
    recipe: Recipe, visits: Sequence[Prepared], split: Split
) -> list[tuple[int, Prepared, list[Task]]]:
    """Fold, first visit of each validation participant, and what is made of it.

    Every target from every set of sources; of further participants nothing, where `MOST_IMAGES`
    have been made of the others.
    """
    found: dict[tuple[int, str], Prepared] = {}
    for fold, parts in enumerate(split.folds):
        for visit in sorted(visits, key=lambda v: v.label):
            if visit.visit.participant in parts.validation:
                found.setdefault((fold, visit.visit.participant), visit)
    result: list[tuple[int, Prepared, list[Task]]] = []
    left = MOST_IMAGES
    for (fold, _), visit in found.items():
        tasks = [
            task
            for one in recipe.tasks(visit.images)
            if one.real and shows_enough(visit, one.target)
            for task in one.subsets(recipe.minimum)
        ]
        if result and len(tasks) > left:
            break
        left -= len(tasks)
        result.append((fold, visit, tasks))
    return result


def fit_intervals(errors: Sequence[Errors]) -> list[IntervalEntry]:
    """An interval for every target and set of sources that held-out images show."""
    entries = []
    for target, sources in sorted({e.scenario for e in errors}):
        own = [e for e in errors if e.scenario == (target, sources)]
        names = set.intersection(*(set(e.figures) for e in own))
        figures = [{n: e.figures[n] for n in sorted(names)} for e in own]
        wrong = [e.error for e in own]
        width = fit_width(figures, wrong)
        factors = {
            name: FactorEntry(values=list(f.values), factors=list(f.factors))
            for name, f in width.factors.items()
        }
        entries.append(
            IntervalEntry(
                target=target,
                sources=list(sources),
                level=LEVEL,
                base=width.base,
                factors=factors,
                participants=len(own),
                coverage=list(held_out_coverage(figures, wrong)),
            )
        )
    return entries


def image_ranges(errors: Sequence[Errors]) -> dict[str, Range]:
    """Figure of a synthetic image as a whole -> its range over held-out images."""
    return training_ranges([e.image for e in errors])


def errors_of(
    image: Synthetic,
    prepared: Prepared,
    rng: np.random.Generator,
    *,
    corrected: bool,
) -> Errors:
    """How wrong a synthetic image on the prepared grid is at some voxels of the scanner's own.

    As it will be written and scored: on the native grid, against the scan as it was acquired
    where preparation has taken shading away (`corrected`), brought to the scale of the image by
    the real scan's own. What is known of a native voxel is what is known of the nearest prepared
    one. Near the plane where an image of half a head ends, nothing counts.
    """
    scale, target = image.scale or Scale(0.0, 1.0), image.modality
    part = image.made_in
    native = on_native(replace(image, spread=None, interval=None), prepared)
    real = real_on_native(prepared, target, corrected=corrected)
    where = scored_mask(image, prepared, quiet=True).array > 0
    places = np.argwhere(where)
    places = places[rng.permutation(len(places))[: 2 * MOST_VOXELS]]
    index = np.rint(prepared.grid.to_index(prepared.native.to_mm(places))).astype(np.int64)
    inner = prepared.mask_image.array > 0 if part is None else inner_of(part.array > 0)
    inside = np.flatnonzero(((index >= 0) & (index < inner.shape)).all(axis=1))
    kept = inside[inner[tuple(index[inside].T)]][:MOST_VOXELS]
    there, rows = tuple(places[kept].T), tuple(index[kept].T)
    wanted = scale.invert(prepared.scales[target].apply(real.array[there]))
    error = np.abs(wanted - native.image.array[there]) / np.float32(scale.span)
    return Errors(
        prepared.visit.participant,
        (target, image.sources),
        _at(figures_of(image, prepared), image, prepared, rows),
        error,
        image_figures(image, prepared),
    )


def _at(
    figures: Mapping[str, Array],
    image: Synthetic,
    prepared: Prepared,
    rows: tuple[npt.NDArray[np.int64], ...],
) -> dict[str, npt.NDArray[np.float32]]:
    """Figures of the voxels that were made, (V,), at some places of the prepared grid."""
    made = (image.made_in or prepared.mask_image).array > 0
    number = np.zeros(made.shape, np.int64)
    number[made] = np.arange(int(made.sum()))
    return {name: np.asarray(values)[number[rows]] for name, values in figures.items()}


def half_of(prepared: Prepared, *, left: bool) -> npt.NDArray[np.bool_]:
    """One half of the mask along the first axis, which leads from left to right."""
    mask = prepared.mask_image.array > 0
    counts = mask.sum(axis=(1, 2))
    middle = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    side = np.arange(mask.shape[0]) <= middle
    return np.asarray(mask & (side if left else ~side)[:, None, None])


def inner_of(half: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The half without the planes beside the other one."""
    planes = np.flatnonzero(half.any(axis=(1, 2)))
    kept = half.copy()
    touching = planes[-RIM:] if planes[0] < half.shape[0] - 1 - planes[-1] else planes[:RIM]
    if len(planes) > 2 * RIM:
        kept[touching] = False
    return kept
