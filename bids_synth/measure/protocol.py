"""Protocols: named ways to score a synthetic image, so that two scores are comparable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.errors import VisitError
from bids_synth.measure.metrics import mae, pearson, psnr, ssim
from bids_synth.scale import HIGH, LOW, Scale
from bids_synth.volume import Volume

Protocol = Callable[[Volume, Volume, Volume], dict[str, float]]
METRICS = ("psnr", "ssim", "mae", "nmae", "pearson")
"""What every protocol returns, in the order of the tables."""


def masked3d(real: Volume, synthetic: Volume, mask: Volume) -> dict[str, float]:
    """Score a volume on its native grid inside the mask, in the real image's range.

    1. `real`, `synthetic` and `mask` lie on one grid; the two images have one unit.
    2. Percentiles 0.5 and 99.5 of `real` inside the mask become 0 and 1; the same affine
       map is applied to `synthetic`, so that a global error of intensity counts. No clipping.
    3. `psnr` (dB) over the mask's voxels at data_range 1; `ssim` as the mean, over the mask,
       of the 3D map (uniform window of 7) of both images set to 0 outside the mask and
       cropped to its bounding box; `nmae` is the mean absolute error of the scaled images,
       `mae` the same in the images' unit; `pearson` is the correlation over the mask.
    Nothing outside the mask counts.

    Raises VisitError for grids that differ, an empty mask or a constant real image, and
    ValueError for units that differ.
    """
    synthetic.require_unit(real.unit)
    for name, other in (("synthetic image", synthetic), ("mask", mask)):
        if not real.grid.matches(other.grid, tolerance=1e-3):
            message = (
                f"cannot score: the {name} has {other.grid.shape} voxels, the real image "
                f"{real.grid.shape}, or their affines differ; expected one grid"
            )
            raise VisitError(message)
    inside = mask.array > 0
    scale = _scale_of(real.array[inside])
    one, other_scaled = scale.apply(real.array), scale.apply(synthetic.array)
    try:
        similarity = ssim(one, other_scaled, inside, data_range=1.0)
    except ValueError as error:
        message = f"cannot score: {error}"
        raise VisitError(message) from error
    return {
        "psnr": psnr(one, other_scaled, inside, data_range=1.0),
        "ssim": similarity,
        "mae": mae(real.array, synthetic.array, inside),
        "nmae": mae(one, other_scaled, inside),
        "pearson": pearson(real.array, synthetic.array, inside),
    }


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({"masked3d": masked3d})
"""Every protocol by the name that recipes and tables use."""


def prepared_score(
    real: npt.NDArray[Any], synthetic: npt.NDArray[Any], mask: npt.NDArray[Any]
) -> float:
    """The score that selects weights: PSNR (dB) inside the mask of already scaled images."""
    return psnr(real, synthetic, mask, data_range=1.0)


def _scale_of(values: npt.NDArray[Any]) -> Scale:
    if values.size == 0:
        message = "cannot score: the mask is empty; expected the brain or head of the visit"
        raise VisitError(message)
    low, high = (float(p) for p in np.percentile(values, [LOW, HIGH]))
    if not high > low:
        message = (
            f"cannot score: percentiles {LOW} and {HIGH} of the real image inside the mask are "
            f"both {low:g}; expected an image with tissue in it"
        )
        raise VisitError(message)
    return Scale(low, high - low)
