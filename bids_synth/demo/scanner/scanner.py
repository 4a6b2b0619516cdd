"""Scan plan: one scan's grid, position, bias field and noise; drawn as data, then applied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from nibabel.orientations import axcodes2ornt
from scipy import ndimage

from bids_synth.demo.head.shapes import Array
from bids_synth.demo.scanner.resampling import inverse, resample, rigid, rotation
from bids_synth.demo.scanner.sequence import Sequence
from bids_synth.spatial.grid import Affine, Grid

BIAS = 0.03
"""SD of the slowest terms of the logarithm of the coil's sensitivity."""
MOTION_DEGREES, MOTION_MM = 2.0, 2.0
"""Half widths of the uniform turn and shift per axis of a scan against the T1w."""


@dataclass(frozen=True, eq=False)
class ScanPlan:
    """Everything random about one scan."""

    grid: Grid
    """The scanner's grid."""
    motion: Affine
    """4x4 RAS+ mm: points of the T1w's space -> points of this scan's space."""
    bias: npt.NDArray[np.float64]
    """Coefficients (3, 3, 3) of a cosine series, the logarithm of the coil's sensitivity."""
    gain: float
    """Stored value of a signal of 1."""
    seed: int
    """Of the noise."""


def draw_motion(rng: np.random.Generator) -> Affine:
    """A small rigid misalignment, up to about 4 mm and 4 degrees in all."""
    degrees = rng.uniform(-MOTION_DEGREES, MOTION_DEGREES, 3)
    return rigid(degrees, rng.uniform(-MOTION_MM, MOTION_MM, 3))


def draw_plan(
    rng: np.random.Generator,
    sequence: Sequence,
    resolution: float,
    field_of_view: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    motion: Affine,
) -> ScanPlan:
    """`field_of_view` is the low and high corner in RAS+ mm of the T1w's space."""
    low, high = field_of_view
    tilt = rotation([sequence.oblique * rng.uniform(-2, 2), 0, 0])
    spacing = resolution * np.asarray(sequence.spacing, dtype=np.float64)
    centre = motion @ np.append((low + high) / 2, 1)
    axes = str(rng.choice(list(sequence.orientations)))
    grid = scan_grid(centre[:3], high - low, spacing, axes, tilt)
    order = np.add.outer(np.add.outer(np.arange(3), np.arange(3)), np.arange(3))
    bias = BIAS * rng.standard_normal((3, 3, 3)) / np.maximum(order, 1)
    bias[0, 0, 0] = 0
    return ScanPlan(grid, motion, bias, float(rng.uniform(0.8, 1.25)), int(rng.integers(2**62)))


def scan_grid(
    centre: npt.NDArray[np.float64],
    extent: npt.NDArray[np.float64],
    spacing: npt.NDArray[np.float64],
    axes: str,
    tilt: npt.NDArray[np.float64],
) -> Grid:
    """A grid about a centre; extent (mm) and spacing (mm) to the right, anterior, superior.

    >>> one = np.ones(3)
    >>> scan_grid(0 * one, 8 * one, np.array([1, 2, 4]), "PSR", np.eye(3)).shape
    (4, 2, 8)
    """
    affine, shape = np.eye(4), [0, 0, 0]
    for index, (axis, sign) in enumerate(axcodes2ornt(axes).astype(int)):
        shape[index] = int(np.ceil(extent[axis] / spacing[axis]))
        affine[:3, index] = tilt[:, axis] * sign * spacing[axis]
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine)


def acquire(stack: Array, box: Grid, pose: Affine, plan: ScanPlan, sequence: Sequence) -> Array:
    """Noiseless quantities (P, I, J, K) of a scan from those of the head (I, J, K, P) on `box`.

    `pose` maps points of the box's space to the T1w's space. Each voxel averages over its size
    and the scanner's blur.
    """
    blurred = ndimage.gaussian_filter(stack, _blur(box, plan, sequence, pose))
    to_box = inverse(plan.motion @ pose)
    return resample(blurred, box, plan.grid, to_box)


def coil(plan: ScanPlan) -> Array:
    """Sensitivity (I, J, K) of the coil, mean about 1."""
    field = plan.bias.astype(np.float32)
    for axis, count in enumerate(plan.grid.shape):
        place = (np.arange(count) + 0.5) / count
        waves = np.cos(np.pi * np.outer(place, np.arange(3))).astype(np.float32)
        field = np.moveaxis(np.tensordot(waves, field, axes=(1, axis)), 0, axis)
    return np.asarray(np.exp(field), np.float32)


def rician(signal: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Magnitude of a signal with complex Gaussian noise of SD `sigma` in each part."""
    noise = rng.standard_normal((2, *signal.shape), dtype=np.float32) * np.float32(sigma)
    return np.asarray(np.hypot(signal + noise[0], noise[1]))


def correlated(shape: tuple[int, int, int], sd_voxels: float, rng: np.random.Generator) -> Array:
    """Gaussian noise of SD 1 smoothed over `sd_voxels` voxels: the texture of reconstructions."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sd_voxels)
    return np.asarray(noise / noise.std())


def _blur(box: Grid, plan: ScanPlan, sequence: Sequence, pose: Affine) -> list[float]:
    """SD in voxels of the box along its axes: as wide as the scan's voxels, less the box's."""
    scan = inverse(plan.motion @ pose)[:3, :3] @ plan.grid.affine[:3, :3]
    size = np.abs(scan).max(axis=1)
    variance = (0.36 * size) ** 2 + (sequence.psf / 2.355) ** 2 - (0.42 * box.spacing[0]) ** 2
    return [*(np.sqrt(np.maximum(variance, 0)) / box.spacing[0]), 0.0]
