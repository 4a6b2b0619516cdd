"""Levels of the tissues of a brain in one image of any contrast."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.core.tissue.levels import TissueLevels
from bids_synth.prepare.brain.head_template import BLUR
from bids_synth.prepare.brain.tissue import AIR, Maps, segment
from bids_synth.spatial.grid import Affine, Grid, Shape, inverse
from bids_synth.spatial.masked_resample import resample_within
from bids_synth.spatial.resample import resample
from bids_synth.spatial.template import template_mask, template_tissue
from bids_synth.spatial.volume import Volume

SPACING = 2.0
"""Voxel size, mm, at which tissues are told apart."""
SURE = 0.8
"""Probability from which a voxel counts as a tissue."""
FEWEST = 30
"""Voxels that a level is taken from."""
UNLIKELY = 1e-5


def tissue_levels(image: Volume, within: npt.NDArray[np.bool_], template: Affine) -> TissueLevels:
    """Medians of white matter, grey matter and fluid, each a tissue of its own grey.

    `within` (I, J, K) is where the image shows brain, `template` leads from the points of the
    template to those of the image. Tissues are told apart by where the template expects them and
    by the image's own greys (`segment`), so that no contrast need be known. White matter is
    taken without its rim; where none is found, it is the median of where it is expected, and
    where that is not seen, of the whole brain.
    """
    grid = image.grid.with_spacing([max(SPACING, s) for s in image.grid.spacing])
    copy = resample_within(image, within, grid).array
    share = resample(image.with_array(within.astype(np.float32)), grid).array
    seen = share > 0.5
    if not seen.any():
        return TissueLevels(float("nan"), float("nan"), float("nan"))
    maps = _expected(grid, template)
    tissue, _ = segment(copy, maps, spacing=grid.spacing[0], seen=seen)
    sure = [(tissue[n] > SURE) & seen for n in range(3)]
    inner = ndimage.binary_erosion(sure[0])
    choices = (inner, sure[0], (maps[0] > 0.5) & seen, seen)
    white = next((c for c in choices if c.sum() >= FEWEST), seen)
    return TissueLevels(
        white=float(np.median(copy[white])),
        grey=_median(copy[sure[1]]),
        fluid=_median(copy[sure[2]]),
    )


def _median(values: npt.NDArray[np.float32]) -> float:
    return float(np.median(values)) if len(values) >= FEWEST else float("nan")


def _expected(grid: Grid, template: Affine) -> Maps:
    """Prior probabilities on a grid, in the order of `segment`; nothing but brain is likely."""
    return _expected_on(
        _Place(grid, template, grid.shape, grid.affine.tobytes() + template.tobytes())
    )


@dataclass(frozen=True)
class _Place:
    """A grid and the way to it from the template, known by their numbers."""

    grid: Grid = field(compare=False)
    template: Affine = field(compare=False)
    shape: Shape
    numbers: bytes


# Of the visit at hand: all images of a visit lie on one grid.
@lru_cache(maxsize=2)
def _expected_on(place: _Place) -> Maps:
    known, grid = brain_priors(), place.grid
    back = inverse(place.template)
    maps = np.full((AIR + 2, *grid.shape), UNLIKELY, np.float32)
    for n, (expected, beyond) in enumerate(zip(known, (0.0, 0.0, 1.0), strict=True)):
        maps[n] += resample(expected, grid, transform=back, background=beyond).array
    shares = np.asarray(maps / maps.sum(0), np.float32)
    shares.flags.writeable = False
    return shares


@cache
def brain_priors() -> tuple[Volume, Volume, Volume]:
    """Blurred probabilities of white matter, grey matter and fluid in template space, 2 mm."""
    mask = template_mask()
    grid = mask.grid.with_spacing(SPACING)
    inside = resample(mask.with_array(mask.array.astype(np.float32)), grid).array
    white, grey = (resample(template_tissue(t), grid).array.clip(0, 1) for t in ("wm", "gm"))
    maps = (white * inside, grey * inside)
    white, grey = (ndimage.gaussian_filter(m, BLUR / SPACING) for m in maps)
    fluid = np.clip(1 - white - grey, 0, 1)
    return Volume(white, grid), Volume(grey, grid), Volume(fluid, grid)
