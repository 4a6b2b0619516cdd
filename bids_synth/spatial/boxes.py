"""Boxes: the smallest block of voxels that holds a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Box = tuple[slice, ...]


def bounding_box(mask: npt.NDArray[Any]) -> Box:
    """The smallest box that holds what is above 0; ValueError where nothing is.

    >>> bounding_box(np.eye(3)[1:])
    (slice(0, 2, None), slice(1, 3, None))
    """
    inside = np.asarray(mask) > 0
    if not inside.any():
        message = "the mask is empty: there is no box around it"
        raise ValueError(message)
    axes = range(inside.ndim)
    lines = [np.flatnonzero(inside.any(axis=tuple(a for a in axes if a != n))) for n in axes]
    return tuple(slice(int(line[0]), int(line[-1]) + 1) for line in lines)


def faces(array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """The first and the last plane along each axis, as views; `numpy.take` reads much more.

    >>> [face.tolist() for face in faces(np.array([[1, 2], [3, 4]]))]
    [[1, 2], [3, 4], [1, 3], [2, 4]]
    """
    planes = (np.moveaxis(array, axis, 0) for axis in range(array.ndim))
    return [plane[side] for plane in planes for side in (0, -1)]
