"""Deformation: where each point of a participant's head lies in the template."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.interpolate import BSpline

from bids_synth.spatial.grid import Grid

Points = npt.NDArray[np.float64]

SCALES = ((48.0, 5.0), (24.0, 1.8), (12.0, 0.8))
"""Knot spacing in mm and SD of the displacement in mm, from the lobes to the gyri."""
MEAN_SCALE = 1.06
"""The MNI152 brain is larger than the average brain by about this much in each direction."""
SPLINE_GAIN = 0.48**-1.5
"""Coefficients of SD 1 give a spline of SD (sum of squared weights, 0.46 to 0.5) ^ (3 / 2)."""
LEAST_JACOBIAN = 0.3
"""A voxel keeps at least this share of its volume."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """Cubic B-spline displacement: coefficients (X, Y, Z, 3) in mm on a regular lattice."""

    coefficients: npt.NDArray[np.float64]
    origin: npt.NDArray[np.float64]
    """RAS+ mm of the first knot."""
    spacing: float
    """Distance between knots in mm."""

    def at(self, points: Points) -> Points:
        """Displacements (..., 3) in mm at points (..., 3) in RAS+ mm."""
        index = np.moveaxis((points - self.origin) / self.spacing, -1, 0)
        parts = [
            ndimage.map_coordinates(
                self.coefficients[..., axis], index, order=3, prefilter=False, mode="constant"
            )
            for axis in range(3)
        ]
        return np.stack(parts, axis=-1)

    def on(self, axes: tuple[Points, Points, Points]) -> npt.NDArray[np.float32]:
        """The same on a box grid given by its mm along x, y and z: (3, I, J, K)."""
        field = self.coefficients.astype(np.float32)
        for axis in range(3):
            place = (axes[axis] - self.origin[axis]) / self.spacing
            basis = _basis(place, self.coefficients.shape[axis])
            field = np.moveaxis(np.tensordot(basis, field, axes=(1, axis)), 0, axis)
        return np.ascontiguousarray(np.moveaxis(field, -1, 0))


@dataclass(frozen=True, eq=False)
class Deformation:
    """Template point = centre + scales * (point - centre) + sum of lattices(point)."""

    scales: tuple[float, float, float]
    """Zoom along x, y, z: below 1 the participant's head is larger than the template."""
    centre: tuple[float, float, float]
    """RAS+ mm of the point that the zoom leaves in place."""
    lattices: tuple[Lattice, ...]
    """Displacements, coarse to fine."""

    def apply(self, points: Points) -> Points:
        """Participant points (..., 3) -> template points (..., 3), RAS+ mm."""
        zoomed = (points - np.asarray(self.centre)) * self.scales + self.centre
        return np.asarray(zoomed + sum(lattice.at(points) for lattice in self.lattices))

    def on(self, grid: Grid) -> npt.NDArray[np.float32]:
        """Template points (3, I, J, K) of every voxel of a grid with axes along x, y, z."""
        step = np.diag(grid.affine)[:3]
        x, y, z = (grid.affine[a, 3] + step[a] * np.arange(grid.shape[a]) for a in range(3))
        field = np.zeros((3, *grid.shape), np.float32)
        for lattice in self.lattices:
            field += lattice.on((x, y, z))
        for axis, line in enumerate((x, y, z)):
            zoomed = (line - self.centre[axis]) * self.scales[axis] + self.centre[axis]
            field[axis] += np.expand_dims(zoomed, [a for a in range(3) if a != axis])
        return field


def draw_deformation(rng: np.random.Generator, box: Grid) -> Deformation:
    """A random smooth map that is invertible over the box: its Jacobian stays positive."""
    corner, far = box.to_mm([0, 0, 0]), box.to_mm(np.array(box.shape) - 1)
    scales = MEAN_SCALE + 0.03 * rng.standard_normal() + 0.015 * rng.standard_normal(3)
    x, y, z = (float(s) for s in np.clip(scales, 0.94, 1.18))
    lattices = tuple(_draw_lattice(rng, corner, far, mm, sd) for mm, sd in SCALES)
    probe = box.with_spacing(4.0)
    while True:
        candidate = Deformation((x, y, z), (0.0, -18.0, 5.0), lattices)
        if jacobian(candidate, probe).min() > LEAST_JACOBIAN:
            return candidate
        lattices = tuple(
            Lattice(0.85 * one.coefficients, one.origin, one.spacing) for one in lattices
        )


def jacobian(deformation: Deformation, grid: Grid) -> npt.NDArray[np.float64]:
    """Determinant of the derivative at every voxel: template volume per participant volume."""
    field = deformation.on(grid).astype(np.float64)
    rows = [np.gradient(field[axis], *grid.spacing) for axis in range(3)]
    matrix = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    return np.asarray(np.linalg.det(matrix))


def _draw_lattice(
    rng: np.random.Generator, corner: Points, far: Points, spacing: float, sd: float
) -> Lattice:
    count = np.ceil((far - corner) / spacing).astype(int) + 5
    noise = rng.standard_normal((*count, 3)).clip(-2, 2)
    return Lattice(sd * SPLINE_GAIN * noise, corner - 2 * spacing, spacing)


def _basis(place: Points, count: int) -> npt.NDArray[np.float32]:
    """Cubic B-spline weights (points, count) of knots 0 .. count-1 at places in knot units."""
    kernel = BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    weights = kernel(place[:, None] - np.arange(count)[None, :])
    return np.asarray(np.nan_to_num(weights), dtype=np.float32)
