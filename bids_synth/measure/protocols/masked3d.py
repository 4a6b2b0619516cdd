"""The protocol `masked3d`: whole volumes, inside the mask, in the real image's range."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.core.catalogue import scores
from bids_synth.core.scale import HIGH, LOW, Scale
from bids_synth.errors import VisitError
from bids_synth.measure.metrics import mae, pearson, psnr, rmse, ssim
from bids_synth.measure.protocols.comparable import (
    in_box,
    of_whole_images,
    require_comparable,
    scoring,
)
from bids_synth.spatial.volume import Volume


@of_whole_images
def masked3d(real: Volume, synthetic: Volume, mask: Volume) -> dict[str, float]:
    """Score a volume on its native grid inside the mask, in the real image's range.

    1. `real`, `synthetic` and `mask` lie on one grid; the two images have one unit, any unit.
    2. Percentiles 0.5 and 99.5 of `real` inside the mask become 0 and 1; the same affine
       map is applied to `synthetic`, so that a global error of intensity counts. No clipping.
    3. `psnr` (dB) over the mask's voxels at data_range 1; `ssim` as the mean, over the mask,
       of the 3D map (uniform window of 7) of both images set to 0 outside the mask and
       cropped to its bounding box; `nmae` is the mean absolute error of the scaled images,
       `mae` and `rmse` are in the images' unit; `pearson` is the correlation over the mask.
    Nothing outside the mask counts: comparable between systems that score the same mask, and
    several dB below scores that count the background.

    Raises VisitError for grids that differ, an empty mask or a constant real image, and
    ValueError for units that differ.
    """
    require_comparable(real, synthetic, mask)
    real, synthetic, mask = in_box(real, synthetic, mask)
    inside = mask.array > 0
    scale = real_scale(real.array[inside])
    one, other = scale.apply(real.array), scale.apply(synthetic.array)
    with scoring():
        similarity = ssim(one, other, inside, data_range=1.0)
        # All else looks at the voxels of the mask one by one.
        truth, answer, one, other = (
            array[inside] for array in (real.array, synthetic.array, one, other)
        )
        every = np.ones(truth.shape, bool)
        return scores(
            psnr=psnr(one, other, every, data_range=1.0),
            ssim=similarity,
            mae=mae(truth, answer, every),
            nmae=mae(one, other, every),
            rmse=rmse(truth, answer, every),
            pearson=pearson(truth, answer, every),
        )


def real_scale(values: npt.NDArray[Any]) -> Scale:
    """The scale of the real image's values inside the mask; VisitError where they are constant."""
    low, high = (float(p) for p in np.percentile(values, [LOW, HIGH]))
    if not high > low:
        message = (
            f"cannot score: percentiles {LOW} and {HIGH} of the real image inside the mask are "
            f"both {low:g}; expected an image with tissue in it"
        )
        raise VisitError(message)
    return Scale(low, high - low)
