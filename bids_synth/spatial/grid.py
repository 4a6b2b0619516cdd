"""Grid: where the voxels of an image lie, in RAS+ millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.orientations import (
    aff2axcodes,
    apply_orientation,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)

Affine = npt.NDArray[np.float64]
Points = npt.NDArray[np.float64]
Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape and affine of a 3D image; voxel indices to RAS+ mm."""

    shape: Shape
    """Number of voxels along i, j, k."""
    affine: Affine
    """4x4 float64, voxel index -> RAS+ mm (NIfTI standard, section on orientation)."""

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if len(self.shape) != 3 or min(self.shape) < 1:
            message = f"a grid needs three positive lengths, got shape {tuple(self.shape)}"
            raise ValueError(message)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            message = f"a grid needs a finite 4x4 affine, got {affine.tolist()}"
            raise ValueError(message)
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12 or None in aff2axcodes(affine):
            message = f"a grid needs an invertible affine, got {affine.tolist()}"
            raise ValueError(message)
        affine.setflags(write=False)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "affine", affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along i, j, k in mm."""
        i, j, k = voxel_sizes(self.affine)
        return float(i), float(j), float(k)

    @property
    def orientation(self) -> str:
        """Axis codes, the direction in which each index grows.

        >>> Grid((2, 2, 2), np.diag([-1, 1, 1, 1])).orientation
        'LAS'
        """
        return "".join(aff2axcodes(self.affine))

    def to_mm(self, index: npt.ArrayLike) -> Points:
        """Voxel indices (..., 3) -> RAS+ mm (..., 3)."""
        return np.asarray(apply_affine(self.affine, np.asarray(index, dtype=np.float64)))

    def to_index(self, mm: npt.ArrayLike) -> Points:
        """RAS+ mm (..., 3) -> voxel indices (..., 3), not rounded."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(apply_affine(inverse, np.asarray(mm, dtype=np.float64)))

    def canonical(self) -> Grid:
        """The same voxels with axes permuted and flipped so that indices grow to R, A, S.

        Inverse: `to_orientation_of` on the array; see `reorient`.
        """
        ornt = io_orientation(self.affine)
        shape = np.empty(3, dtype=int)
        shape[ornt[:, 0].astype(int)] = self.shape
        affine = self.affine @ inv_ornt_aff(ornt, self.shape)
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    def with_spacing(self, spacing: float | Sequence[float]) -> Grid:
        """The same field of view sampled every `spacing` mm along each axis.

        The outer faces of the voxels coincide as closely as whole voxels allow, centred.
        """
        wanted = np.broadcast_to(np.asarray(spacing, dtype=np.float64), (3,))
        zoom = wanted / np.asarray(self.spacing)
        shape = np.maximum(np.ceil(np.asarray(self.shape) / zoom - 1e-3), 1).astype(int)
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, :3] * zoom
        centre = self.to_mm((np.asarray(self.shape) - 1) / 2)
        affine[:3, 3] = centre - affine[:3, :3] @ ((shape - 1) / 2)
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    def crop(self, start: Sequence[int], stop: Sequence[int]) -> Grid:
        """The voxels start <= index < stop; indices outside the grid extend it."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_mm(start)
        i, j, k = (int(b) - int(a) for a, b in zip(start, stop, strict=True))
        return Grid((i, j, k), affine)

    def matches(self, other: Grid, *, tolerance: float = 1e-5) -> bool:
        """Same shape, and affines equal within `tolerance` (mm) element by element."""
        return self.shape == other.shape and bool(
            np.allclose(self.affine, other.affine, rtol=0, atol=tolerance)
        )


def reorient(array: npt.NDArray[Any], source: Grid, target: Grid) -> npt.NDArray[Any]:
    """Permute and flip an array from the axis order of `source` to that of `target`.

    Its own inverse with the grids exchanged. Raises ValueError when the two grids do not
    hold the same voxels.
    """
    ornt = ornt_transform(io_orientation(source.affine), io_orientation(target.affine))
    result = np.ascontiguousarray(apply_orientation(array, ornt))
    if array.shape != source.shape or result.shape != target.shape:
        message = (
            f"cannot reorient shape {array.shape} on {source.shape} {source.orientation} "
            f"to {target.shape} {target.orientation}: they are not the same voxels"
        )
        raise ValueError(message)
    return result


def inverse(affine: Affine) -> Affine:
    """The inverse of a 4x4 affine, float64."""
    return np.asarray(np.linalg.inv(affine), dtype=np.float64)
