"""Faults: noise, moved lines, the brightest spots and the holes of one image inside its mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

DEEP = 6.0
"""Depth, mm, below the mask's edge from which the brain has no holes but what is dark."""
DARK = 0.05
"""Scaled value below which a voxel counts as empty; 0 is the image's own zero, or near it."""
BRIGHT = 99.9
"""Percentile at which the brightest spots begin."""
MAD = 1.4826
"""Standard deviations of a normal distribution in a median absolute deviation."""
NEIGHBOURS = 6


def fault_figures(
    image: npt.NDArray[Any], inside: npt.NDArray[np.bool_], spacing: Sequence[float]
) -> dict[str, float]:
    """`noise`, `lines`, `bright` and `void` of a scaled image (I, J, K), 0 outside.

    `noise` is the standard deviation, robust and in percent of 1, of what a voxel differs from
    the mean of its six neighbours, as white noise would have it; `lines` how much rougher the
    image is along its roughest axis than along the next, which lines of a raw scan that were
    measured after a movement make it along one axis (1 where two are alike; thick slices are
    smooth along one and rough along two); `bright` the value at which the
    brightest thousandth begins; `void` the volume, ml, of the largest connected blob of empty
    voxels deep inside. NaN where the mask is too thin to hold anything deep.
    """
    box = ndimage.find_objects(inside.astype(np.uint8))[0] if inside.any() else None
    if box is None:
        return dict.fromkeys(("noise", "lines", "bright", "void"), float("nan"))
    image, inside = image[box].astype(np.float32), inside[box]
    core = ndimage.binary_erosion(inside, iterations=2)
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=spacing)
    deep = depth[1:-1, 1:-1, 1:-1] > DEEP
    return {
        "noise": _noise(image, core) if core.any() else float("nan"),
        "lines": _lines(image, core) if core.any() else float("nan"),
        "bright": float(np.percentile(image[inside], BRIGHT)),
        "void": _largest(deep & (image < DARK), spacing) if deep.any() else float("nan"),
    }


def _noise(image: npt.NDArray[np.float32], core: npt.NDArray[np.bool_]) -> float:
    kernel = ndimage.generate_binary_structure(3, 1).astype(np.float32)
    kernel[1, 1, 1] = 0
    rough = (image - ndimage.convolve(image, kernel / NEIGHBOURS))[core]
    deviation = MAD * float(np.median(np.abs(rough - np.median(rough))))
    return 100 * deviation / float(np.sqrt(1 + 1 / NEIGHBOURS))


def _lines(image: npt.NDArray[np.float32], core: npt.NDArray[np.bool_]) -> float:
    inner = np.argwhere(core).T
    rough = []
    for axis in range(3):
        beside = [
            image[tuple(inner + step * np.eye(3, dtype=int)[axis][:, None])] for step in (-1, 1)
        ]
        rough.append(float(np.median(np.abs(image[tuple(inner)] - (beside[0] + beside[1]) / 2))))
    _, second, first = sorted(rough)
    return first / second if second > 0 else float("nan")


def _largest(blobs: npt.NDArray[np.bool_], spacing: Sequence[float]) -> float:
    labels, count = ndimage.label(blobs)
    if not count:
        return 0.0
    voxels = int(np.bincount(labels.ravel())[1:].max())
    return voxels * float(np.prod(spacing)) / 1000
