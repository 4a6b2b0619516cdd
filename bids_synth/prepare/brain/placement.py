"""Placement: is a brain wholly in the field of view, and the right way up?"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from bids_synth.prepare.brain.template_mask import by_moments
from bids_synth.spatial.resample import resample
from bids_synth.spatial.template import template_mask
from bids_synth.spatial.volume import Volume

SPACING = 4.0
"""Voxel size, mm, at which masks are compared."""
FINE = 2.0
"""Voxel size, mm, below which a mask is taken more coarsely."""


def cut_area(mask: Volume) -> float:
    """The largest area, cm2, with which a mask touches one end of its field of view.

    A brain ends before the field of view does; its cord and the tip of the cerebellum are a few
    cm2, a cut through its middle is more than 100.
    """
    inside, spacing = mask.array > 0, mask.grid.spacing
    areas = []
    for axis in range(3):
        others = [s for k, s in enumerate(spacing) if k != axis]
        face = others[0] * others[1] / 100
        areas += [float(np.take(inside, end, axis).sum()) * face for end in (0, -1)]
    return max(areas)


def uprightness(mask: Volume) -> float:
    """How much better a mask fits the template as it lies than turned over: a difference of Dice.

    Turned over: upside down, back to front, or both. A brain is flat below and round above, and
    broader behind: .03 to .11 for whole ones, below 0 for those that a header turns. Left and
    right look alike, and are not told apart. NaN for an empty mask.
    """
    if not mask.array.any():
        return float("nan")
    whole = template_mask()
    grid = whole.grid.with_spacing(SPACING)
    wanted = resample(whole, grid, order=0)
    there = wanted.array > 0
    middle = grid.to_mm(np.argwhere(there)).mean(0)
    coarse = mask.grid.with_spacing([max(FINE, s) for s in mask.grid.spacing])
    seen = resample(mask.with_array((mask.array > 0).astype(np.uint8)), coarse, order=0)
    placed = by_moments(wanted, seen)
    share = seen.with_array(seen.array.astype(np.float32))
    fits = []
    for depth, height in product((1.0, -1.0), repeat=2):
        turned = np.diag([1.0, depth, height, 1.0])
        turned[:3, 3] = middle - turned[:3, :3] @ middle
        lying = resample(share, grid, transform=placed @ turned).array > 0.5
        fits.append(_dice(lying, there))
    return fits[0] - max(fits[1:])


def _dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))
