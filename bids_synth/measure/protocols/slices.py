"""The protocol `slices`: axial slices with their background, as 2D systems are scored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from skimage.metrics import structural_similarity

from bids_synth.core.catalogue import scores
from bids_synth.errors import VisitError
from bids_synth.measure.metrics import WINDOW
from bids_synth.measure.protocols.comparable import of_whole_images, require_comparable
from bids_synth.spatial.volume import Volume

MOST_PSNR = 100.0
"""dB given to a slice without error, as in the system it is compared with."""


@of_whole_images
def slices(real: Volume, synthetic: Volume, mask: Volume) -> dict[str, float]:
    """Score axial slices one by one, background included, in the real volume's full range.

    1. One grid, one unit, any unit; voxels are put in RAS order, so that slices are axial (of
       a tilted grid, the nearest).
    2. Outside the mask both images become the real image's minimum: a model writes nothing
       there. A mask of the whole image leaves both as they are.
    3. Minimum and maximum of the real volume become 0 and 1; the synthetic image follows and
       is clipped to [0, 1].
    4. `psnr` (dB, at most 100) and `ssim` (2D, uniform window of 7, the frame's 3 outer pixels
       left out) at data_range 1 over each whole slice that holds a voxel of the mask; then the
       mean over these slices.

    Comparable, with the same mask and field of view, with per-slice scores of min-max scaled
    volumes, such as published IXI tables. Background scores as perfect: with half the frame
    empty `psnr` is 3 dB above that of the brain alone, and one bright voxel moves all.

    Raises VisitError for grids that differ, an empty mask, a constant real image or slices
    under 7 pixels a side, ValueError for units that differ.
    """
    inside = require_comparable(real, synthetic, mask)
    held = mask.with_array(inside).canonical().array
    one, other = _scaled(real.canonical().array, synthetic.canonical().array, held)
    if min(one.shape[:2]) < WINDOW:
        message = f"cannot score: slices of {one.shape[:2]} pixels; expected {WINDOW} a side"
        raise VisitError(message)
    pairs = [_slice(one[..., k], other[..., k]) for k in np.flatnonzero(held.any(axis=(0, 1)))]
    psnr, ssim = np.mean(pairs, axis=0)
    return scores(psnr=psnr, ssim=ssim)


def _scaled(
    real: npt.NDArray[np.float64],
    synthetic: npt.NDArray[np.float64],
    inside: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    air = float(real.min())
    one, other = (np.where(inside, a, air).astype(np.float64) for a in (real, synthetic))
    span = one.max() - air
    if not span > 0:
        message = f"cannot score: the real image is {air:g} throughout; expected tissue in it"
        raise VisitError(message)
    return (one - air) / span, np.clip((other - air) / span, 0, 1)


def _slice(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> tuple[float, float]:
    error = max(float(np.square(one - other).mean()), 10 ** (-MOST_PSNR / 10))
    return float(-10 * np.log10(error)), float(structural_similarity(one, other, data_range=1.0))
