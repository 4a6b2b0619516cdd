"""Comparable: what must hold of two images before any protocol scores them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

import numpy as np
import numpy.typing as npt

from bids_synth.core.catalogue import scores
from bids_synth.errors import VisitError
from bids_synth.spatial.boxes import bounding_box
from bids_synth.spatial.volume import Volume


def require_comparable(
    real: Volume, synthetic: Volume, mask: Volume, *, unit: str | None = None
) -> npt.NDArray[np.bool_]:
    """The mask as booleans, where the three lie on one grid and the images have one unit.

    Raises VisitError for grids that differ or an empty mask, ValueError for units that differ
    or are not `unit`.
    """
    real.require_unit(unit or real.unit)
    synthetic.require_unit(real.unit)
    for name, other in (("synthetic image", synthetic), ("mask", mask)):
        if not real.grid.matches(other.grid, tolerance=1e-3):
            message = (
                f"cannot score: the {name} has {other.grid.shape} voxels, the real image "
                f"{real.grid.shape}, or their affines differ; expected one grid"
            )
            raise VisitError(message)
    inside: npt.NDArray[np.bool_] = mask.array > 0
    if not inside.any():
        message = "cannot score: the mask is empty; expected the brain or head of the visit"
        raise VisitError(message)
    return inside


def in_box(real: Volume, synthetic: Volume, mask: Volume) -> tuple[Volume, Volume, Volume]:
    """The three around the mask alone, for protocols to which nothing outside it counts."""
    box = bounding_box(mask.array)
    start, stop = [part.start for part in box], [part.stop for part in box]
    grid = mask.grid.crop(start, stop)
    one, other, inside = (
        Volume(volume.array[box], grid, volume.unit) for volume in (real, synthetic, mask)
    )
    return one, other, inside


Scores = Callable[[Volume, Volume, Volume], dict[str, float]]


def of_whole_images(protocol: Scores) -> Scores:
    """The protocol, but every metric NaN where a voxel inside the mask is NaN or infinite.

    Clipping and percentiles would else make a number of what is none.
    """

    @wraps(protocol)
    def scored(real: Volume, synthetic: Volume, mask: Volume) -> dict[str, float]:
        same = real.array.shape == synthetic.array.shape == mask.array.shape
        inside = mask.array > 0
        if same and not all(np.isfinite(v.array[inside]).all() for v in (real, synthetic)):
            require_comparable(real, synthetic, mask)
            return scores()
        return protocol(real, synthetic, mask)

    return scored


@contextmanager
def scoring() -> Iterator[None]:
    """Tell of an image that a metric refuses as of a visit that cannot be scored."""
    try:
        yield
    except ValueError as error:
        message = f"cannot score: {error}"
        raise VisitError(message) from error
