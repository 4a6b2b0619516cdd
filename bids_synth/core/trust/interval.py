"""Interval: half the width that holds the real value of a voxel nine times in ten.

A width that follows what is known of each voxel (its value, its depth in the mask, how rough its
surroundings are, how far the networks disagree), times one number by which it holds on
participants that the networks did not learn from: split conformal prediction with normalised
errors (Lei et al. 2018, doi:10.1080/01621459.2017.1307116), by participant and not by voxel
(Dunn, Wasserman and Ramdas 2023, doi:10.1080/01621459.2022.2060112, "pooling CDFs").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEVEL = 0.9
"""Share of the voxels of a participant whose real value the interval holds."""
BINS = 12
"""Classes of one figure, each with as many voxels as another."""
ROUNDS = 20
"""Turns over the figures; the factors have settled long before."""
LEAST = 1e-6
"""Smallest error, in scaled numbers, that a class may have on average."""
Array = npt.NDArray[Any]
Figures = Mapping[str, Array]
"""Name of a figure -> one value a voxel, all of one shape."""


@dataclass(frozen=True)
class Factor:
    """By how much one figure of a voxel widens or narrows its interval."""

    values: tuple[float, ...]
    """Of the figure, rising."""
    factors: tuple[float, ...]
    """At these values; on a straight line between them, constant beyond."""

    def at(self, figure: Array) -> Array:
        """The factor of every voxel."""
        return np.interp(figure, self.values, self.factors)


@dataclass(frozen=True)
class Width:
    """Half the width of an interval as a product of factors."""

    base: float
    """What they are multiplied by, in scaled numbers."""
    factors: Mapping[str, Factor]
    """Name of a figure -> its factor."""

    def of(self, figures: Figures) -> npt.NDArray[np.float32]:
        """Half the width at every voxel, in scaled numbers; KeyError where a figure is lacking."""
        width: Array | float = self.base
        for name, factor in self.factors.items():
            width = width * factor.at(figures[name])
        return np.asarray(width, np.float32)

    def times(self, factor: float) -> Width:
        """The same, wider or narrower everywhere."""
        return Width(self.base * factor, self.factors)


def fit_width(
    figures: Sequence[Figures], errors: Sequence[Array], *, level: float = LEVEL
) -> Width:
    """The width that holds a share `level` of the errors of participants like these.

    One mapping of figures and one array of absolute errors, of one shape (V,), a participant,
    each of whom weighs the same however many voxels there are. The width is a product of one
    factor a figure, so that its mean follows the mean error in every class of every figure
    (iterative proportional fitting); then it is multiplied until it holds of all, and of one more
    like the worst of them: who comes next may be. Of people whose errors differ by 10 to 30 % it
    holds 0.900 to 0.910 then instead of 0.88 to 0.90, be they two or ten (a simulation with a
    `level` of 0.9). ValueError for nobody, and for a `level` outside 0 to 1.
    """
    if not errors or not 0 < level < 1:
        message = f"expected errors of somebody and a level between 0 and 1, got {level}"
        raise ValueError(message)
    weight = _weights(errors)
    error = np.concatenate(errors).astype(np.float64)
    every = {name: np.concatenate([f[name] for f in figures]) for name in figures[0]}
    classes = {name: _classes(values) for name, values in every.items()}
    factors = {name: np.ones(len(centres)) for name, (centres, _) in classes.items()}
    width = np.full(error.shape, max(LEAST, float(np.sum(weight * error))))
    for _ in range(ROUNDS):
        for name, (centres, which) in classes.items():
            wanted = np.bincount(which, weight * error, minlength=len(centres))
            now = np.bincount(which, weight * width, minlength=len(centres))
            change = np.maximum(wanted, LEAST * now) / np.maximum(now, 1e-300)
            factors[name] *= change
            width *= change[which]
    kept = {
        name: Factor(tuple(centres.tolist()), tuple(factors[name].tolist()))
        for name, (centres, _) in classes.items()
    }
    shape = Width(max(LEAST, float(np.sum(weight * error))), kept)
    ratios = [e / np.maximum(shape.of(f), LEAST) for f, e in zip(figures, errors, strict=True)]
    worst = max(ratios, key=lambda r: float(np.quantile(r, level)))
    return shape.times(pooled_quantile([*ratios, worst], level))


def pooled_quantile(values: Sequence[Array], level: float) -> float:
    """The quantile of values in which every participant weighs the same.

    >>> pooled_quantile([np.arange(1000.0), np.array([5000.0])], 0.4)
    799.0
    """
    every, weight = np.concatenate(values), _weights(values)
    order = np.argsort(every, kind="stable")
    place = int(np.searchsorted(np.cumsum(weight[order]), level - 1e-9))
    return float(every[order][min(place, every.size - 1)])


def held_out_coverage(
    figures: Sequence[Figures], errors: Sequence[Array], *, level: float = LEVEL
) -> tuple[float, ...]:
    """Of each participant, the share of voxels that a width fitted on the others holds.

    Empty for a single participant, from whom nobody is left.
    """
    found = []
    for n in range(len(errors) if len(errors) > 1 else 0):
        others = [k for k in range(len(errors)) if k != n]
        width = fit_width([figures[k] for k in others], [errors[k] for k in others], level=level)
        found.append(float(np.mean(errors[n] <= width.of(figures[n]))))
    return tuple(found)


def _weights(values: Sequence[Array]) -> npt.NDArray[np.float64]:
    """One a voxel, of sum 1, the same sum for every participant."""
    shares = [np.full(v.size, 1 / (len(values) * max(1, v.size))) for v in values]
    return np.concatenate(shares)


def _classes(values: Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Means of classes of about as many voxels each, rising, and the class of every voxel."""
    limits = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    which = np.searchsorted(limits, values, side="right")
    used, which = np.unique(which, return_inverse=True)
    sums = np.bincount(which, values, minlength=len(used))
    return sums / np.bincount(which, minlength=len(used)), which
