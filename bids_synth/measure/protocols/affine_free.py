"""The protocol `affine-free`: as `masked3d` once brightness and contrast have been fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.core.catalogue import scores
from bids_synth.measure.metrics import mutual_information
from bids_synth.measure.multiscale import ms_ssim
from bids_synth.measure.protocols.comparable import (
    in_box,
    of_whole_images,
    require_comparable,
    scoring,
)
from bids_synth.measure.protocols.masked3d import masked3d, real_scale
from bids_synth.spatial.volume import Volume


@of_whole_images
def affine_free(real: Volume, synthetic: Volume, mask: Volume) -> dict[str, float]:
    """Score what is left after the best brightness and contrast have been fitted.

    The map gain x synthetic + offset with the least squared error inside the mask is applied to
    the synthetic image; then `masked3d` (mask, range and 3D as there; any unit), `ms_ssim` in
    the same range, and `nmi`, normalised mutual information over the mask with 64 bins.
    A gain below 0 is allowed: an image in negative scores as well as its positive.

    For systems whose intensities have no meaning, and beside papers that divide each image by
    its own mean or maximum, which forgives as much. Never below `masked3d` in `psnr`, and not
    comparable with it.

    Raises as `masked3d` does.
    """
    require_comparable(real, synthetic, mask)
    real, synthetic, mask = in_box(real, synthetic, mask)
    inside = mask.array > 0
    fitted = synthetic.with_array(best_affine(real.array, synthetic.array, inside))
    values = masked3d(real, fitted, mask)
    scale = real_scale(real.array[inside])
    with scoring():
        values["ms_ssim"] = ms_ssim(
            scale.apply(real.array), scale.apply(fitted.array), inside, data_range=1.0
        )
        values["nmi"] = mutual_information(real.array, synthetic.array, inside)
    return scores(**values)


def best_affine(
    real: npt.NDArray[Any], synthetic: npt.NDArray[Any], inside: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """The affine map of `synthetic` nearest to `real` inside, in least squares.

    A synthetic image that is constant inside becomes the mean of the real one.

    >>> best_affine(np.array([5.0, 7.0]), np.array([1.0, 2.0]), np.array([True, True])).tolist()
    [5.0, 7.0]
    """
    x, y = (a[inside].astype(np.float64) for a in (synthetic, real))
    spread = float(np.square(x - x.mean()).sum())
    gain = float(np.dot(x - x.mean(), y - y.mean())) / spread if spread > 0 else 0.0
    return np.asarray(gain * (synthetic.astype(np.float64) - x.mean()) + y.mean())
