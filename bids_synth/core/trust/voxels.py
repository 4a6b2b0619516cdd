"""Voxels: what is known of each voxel of a synthetic image before anybody sees the real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.core.trust.interval import Array

SMOOTH = 1.0
"""Standard deviation, in voxels, of the Gaussian under which edges are looked for."""
MARGIN = 5
"""Voxels around the mask that a Gaussian of that width and a slope still see."""


def voxel_figures(
    answer: Array,
    sources: Sequence[Array],
    mask: npt.NDArray[np.bool_],
    spacing: Sequence[float],
    spread: Array | None = None,
) -> dict[str, npt.NDArray[np.float32]]:
    """Figures of the voxels of a mask, each (V,), in the order of `array[mask]`.

    `value` of the answer, in scaled numbers; `depth` below the mask's edge, mm; `edge` and
    `detail`, how steep the answer and the steepest of its sources are, in scaled numbers per mm;
    `spread` over the networks, where there are several. Images are (I, J, K), 0 outside the mask.
    """
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    inside = np.pad(mask[box], MARGIN)
    steep = [_steepness(np.pad(s[box], MARGIN), spacing)[inside] for s in sources]
    figures = {
        "value": answer[mask],
        "depth": ndimage.distance_transform_edt(inside, sampling=spacing)[inside],
        "edge": _steepness(np.pad(answer[box], MARGIN), spacing)[inside],
        "detail": np.max(steep, axis=0),
    }
    if spread is not None:
        figures["spread"] = spread[mask]
    return {name: np.asarray(values, np.float32) for name, values in figures.items()}


def _steepness(image: npt.NDArray[Any], spacing: Sequence[float]) -> npt.NDArray[np.float32]:
    smooth = ndimage.gaussian_filter(image.astype(np.float32), SMOOTH)
    slopes = np.gradient(smooth, *spacing)
    return np.asarray(np.sqrt(sum(np.square(slope) for slope in slopes)), np.float32)
