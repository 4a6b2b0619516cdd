"""The protocol `synthrad`: synthetic CT in HU as the SynthRAD challenges score it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter
from skimage.metrics import structural_similarity

from bids_synth.core.catalogue import scores
from bids_synth.measure.metrics import WINDOW, mae, psnr, rmse
from bids_synth.measure.multiscale import WEIGHTS, moments
from bids_synth.measure.protocols.comparable import of_whole_images, require_comparable, scoring
from bids_synth.spatial.boxes import bounding_box
from bids_synth.spatial.volume import Volume

AIR, DENSEST = -1024.0, 3000.0
"""HU between which images are compared."""
RANGE = DENSEST - AIR
SMALLEST = 97
"""Voxels a side that five scales need; shorter sides are padded."""
EDGE = WINDOW // 2
Array = npt.NDArray[np.float64]
Inside = npt.NDArray[np.bool_]


@of_whole_images
def synthrad(real: Volume, synthetic: Volume, mask: Volume) -> dict[str, float]:
    """Score a synthetic CT inside the mask in HU: MAE, PSNR, SSIM and MS-SSIM in 3D.

    1. One grid, both images in HU; other units are refused.
    2. `mae` and `rmse` over the mask's voxels, in HU, without clipping.
    3. Both images clipped to [-1024, 3000]: `psnr` over the mask's voxels at data_range 4024.
    4. Outside the mask both become -1024: `ssim` is the mean, over the mask's voxels that are
       3 or more from the volume's faces, of the 3D map (uniform window of 7) at data_range
       4024; `ms_ssim` as `challenge_ms_ssim`.

    Comparable with SynthRAD2023 (MAE, PSNR, SSIM after its mid-challenge fix) and SynthRAD2025
    (MAE, PSNR, MS-SSIM) where grid, mask and registration are the challenge's.

    `ssim` and `ms_ssim` are NaN where no voxel of the mask is that far from the faces, for
    `ms_ssim` at any scale. Raises VisitError for grids that differ or an empty mask, ValueError
    for images that are not in HU.
    """
    inside = require_comparable(real, synthetic, mask, unit="HU")
    one, other = (np.clip(v.array, AIR, DENSEST).astype(np.float64) for v in (real, synthetic))
    above = [np.where(inside, a, AIR) - AIR for a in (one, other)]
    with scoring():
        return scores(
            mae=mae(real.array, synthetic.array, inside),
            rmse=rmse(real.array, synthetic.array, inside),
            psnr=psnr(one, other, inside, data_range=RANGE),
            ssim=_ssim(above[0], above[1], inside),
            ms_ssim=challenge_ms_ssim(above[0], above[1], inside),
        )


def challenge_ms_ssim(one: Array, other: Array, inside: Inside) -> float:
    """MS-SSIM as SynthRAD2025 computes it, of images from 0 to 4024 HU, 0 outside the mask.

    It departs from Wang 2003 (`multiscale.ms_ssim`): luminance is compared at every scale with
    the scale's own weight, weights are exponents of the map and not of its mean, standard
    deviations are roots of variances clipped at 0, sides under 97 voxels are padded by their
    edges, an image is halved by means over voxels i - 1 and i with 0 beyond the first, and
    the mask by taking every other voxel.
    """
    pad = [((n := max(SMALLEST - side, 0)) // 2, n - n // 2) for side in one.shape]
    one, other = np.pad(one, pad, mode="edge"), np.pad(other, pad, mode="edge")
    inside = np.pad(inside, pad, mode="edge")
    result = 1.0
    for weight in WEIGHTS:
        similarity = _weighted_similarity(one, other, weight)
        result *= float(np.clip(_mean_within(similarity, inside), 0, 1))
        one, other = (uniform_filter(a, 2, mode="constant")[::2, ::2, ::2] for a in (one, other))
        inside = inside[::2, ::2, ::2]
    return result


def _weighted_similarity(one: Array, other: Array, weight: float) -> Array:
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    local = moments(one, other, unbiased=True)
    (x, y), (vx, vy) = local.mean, local.variance
    deviations = np.sqrt(np.clip(vx, 0, None)) * np.sqrt(np.clip(vy, 0, None))
    luminance = (2 * x * y + c1) / (x**2 + y**2 + c1)
    spread = (2 * deviations + c2) / (vx + vy + c2)
    structure = (local.covariance + c2 / 2) / (deviations + c2 / 2)
    result: Array = np.prod([np.clip(p, 0, None) for p in (luminance, spread, structure)], axis=0)
    return np.asarray(result**weight)


def _ssim(one: Array, other: Array, inside: Inside) -> float:
    """The mean over the mask, computed in the mask's box and the windows that reach out of it."""
    wide = tuple(
        slice(max(min(part.start - EDGE, n - WINDOW), 0), max(part.stop + EDGE, WINDOW))
        for part, n in zip(bounding_box(inside), one.shape, strict=True)
    )
    _, similarity = structural_similarity(one[wide], other[wide], data_range=RANGE, full=True)
    full = np.zeros(one.shape)
    full[wide] = similarity
    return _mean_within(full, inside)


def _mean_within(similarity: Array, inside: Inside) -> float:
    away = tuple(slice(EDGE, n - EDGE) for n in similarity.shape)
    values = similarity[away][inside[away]]
    return float(values.mean()) if values.size else float("nan")
