"""Resampling: values of images between their voxels, and rigid motions in RAS+ mm."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.spatial.grid import Affine, Grid

Floats = npt.NDArray[np.float32]
CHUNK = 1 << 16


def interpolate(stack: npt.NDArray[Any], index: Floats) -> Floats:
    """Trilinear values (C, N) of a stack (I, J, K, C) at voxel indices (3, N).

    Indices outside the stack take the value of the nearest face.
    """
    flat = stack.reshape(-1, stack.shape[-1])
    result = np.empty((stack.shape[-1], index.shape[1]), np.float32)
    for start in range(0, index.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        result[:, part] = _trilinear(flat, stack.shape[:3], index[:, part]).T
    return result


def _trilinear(flat: npt.NDArray[Any], shape: tuple[int, ...], index: Floats) -> Floats:
    last = np.array(shape, np.float32)[:, None] - 1
    index = np.clip(index, 0, last)
    low = np.minimum(index.astype(np.int32), np.maximum(last.astype(np.int32) - 1, 0))
    high = index - low
    weights = (1 - high, high)
    strides = (shape[1] * shape[2], shape[2], 1)
    steps = [stride if n > 1 else 0 for stride, n in zip(strides, shape, strict=True)]
    first = low[0].astype(np.intp) * strides[0] + low[1] * strides[1] + low[2]
    result = np.zeros((index.shape[1], flat.shape[1]), np.float32)
    for corner in np.ndindex(2, 2, 2):
        weight = weights[corner[0]][0] * weights[corner[1]][1] * weights[corner[2]][2]
        offset = sum(c * step for c, step in zip(corner, steps, strict=True))
        result += flat.take(first + offset, axis=0) * weight[:, None]
    return result


def resample(volumes: npt.NDArray[Any], source: Grid, target: Grid, to_source: Affine) -> Floats:
    """Values (C, I, J, K) on `target` of a stack (I, J, K, C) on `source`.

    `to_source` is a 4x4 that maps points of the target's space to the source's space, RAS+ mm.
    """
    matrix = np.linalg.inv(source.affine) @ to_source @ target.affine
    result = np.empty((volumes.shape[-1], *target.shape), np.float32)
    plane = np.indices((1, *target.shape[1:]), np.float32).reshape(3, -1)
    rotation, shift = matrix[:3, :3].astype(np.float32), matrix[:3, 3:].astype(np.float32)
    base = rotation @ plane + shift
    for i in range(target.shape[0]):
        values = interpolate(volumes, base + np.float32(i) * rotation[:, :1])
        result[:, i] = values.reshape(-1, *target.shape[1:])
    return result


def rotation(degrees: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """3x3 of turns about the x, then y, then z axis.

    >>> rotation([0, 0, 90]).round(6)[:, 0].tolist()
    [0.0, 1.0, 0.0]
    """
    a, b, c = np.radians(np.asarray(degrees, dtype=np.float64))
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(z @ y @ x)


def inverse(matrix: Affine) -> Affine:
    """The 4x4 that undoes another."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def rigid(degrees: npt.ArrayLike, mm: npt.ArrayLike) -> Affine:
    """4x4 of a turn about the origin followed by a shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(degrees)
    matrix[:3, 3] = mm
    return matrix


def itk_text(matrix: Affine) -> str:
    """A 4x4 in RAS+ mm as an ITK transform file (LPS+ inside the file)."""
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    lps = flip @ matrix @ flip
    numbers = " ".join(f"{v:.12g}" for v in [*lps[:3, :3].ravel(), *lps[:3, 3]])
    return (
        "#Insight Transform File V1.0\n#Transform 0\n"
        f"Transform: AffineTransform_double_3_3\nParameters: {numbers}\nFixedParameters: 0 0 0\n"
    )
