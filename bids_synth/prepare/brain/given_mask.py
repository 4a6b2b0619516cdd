"""Given mask: is the brain mask of another pipeline that of this scan? Looked at, not believed."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.prepare.brain.region import head_mask
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume, read_volume

BRAIN_ML = (100.0, 2500.0)
"""Volume of a mask that may be a brain: one hemisphere, an infant, a large head."""
LEAST = 0.8
"""Share of a mask that must lie in the scan's field of view, and of that in its head."""
FARTHEST = 5.0
"""Distance, mm, from where a mask fits a scan best at which it is of another scan."""
BETTER = 1.5
"""How many times more the moved mask must know of the scan for that."""
FITTING = 0.1
"""Mutual information below which no place of a mask is any better than another."""
SHELL = 8.0
"""Distance, mm, from the edge of a mask within which it is compared with the scan."""
SPACING = 2.5
STEPS = (-12.0, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0)
NEARBY = (-2.0, 0.0, 2.0)
"""Shifts along the axes that are tried, mm: everywhere, then around the best."""
POINTS, GREYS = 8000, 32
PERCENT = 100.0


def fitting_mask(path: Path, scan: Volume) -> tuple[Volume | None, str]:
    """The mask on the scan's grid, uint8, and ""; or None and why it cannot be its brain.

    A file of probabilities (0 to 1, or 0 to 100) counts from one half. Raises VisitError where
    it cannot be read.
    """
    volume = read_volume(path)
    level, fault = _level(volume.array)
    if not fault:
        mask = volume.with_array((volume.array > level).astype(np.float32))
        fault = _volume_fault(mask)
    if fault:
        return None, fault
    placed = resample(mask, scan.grid)
    brain = scan.with_array((placed.array > 0.5).astype(np.uint8))
    return (None, fault) if (fault := _place_fault(mask, brain, scan)) else (brain, "")


def misplacement(scan: Volume, mask: Volume, *, seed: int = 0) -> float:
    """Distance, mm, by which a mask must be moved to fit a scan best; 0 where it fits as it is.

    Mutual information between the sides of the mask's edge and the greys of the scan, over
    shifts of up to 14 mm along each axis: what is brain looks unlike what surrounds it, whatever
    the contrast.
    """
    points, inside, copy = _shell(scan, mask, seed)
    if not (inside.any() and (~inside).any()):
        return 0.0
    near = copy.array[tuple(points.T)]
    low, high = np.percentile(near, [0.5, 99.5])
    greys = ((copy.array - low) / max(float(high - low), 1e-6)).clip(0, 1) * (GREYS - 1)
    spacing = np.asarray(copy.grid.spacing)

    def known(shift: npt.NDArray[np.float64]) -> float:
        there = points + shift / spacing
        values = ndimage.map_coordinates(greys, there.T, order=1, mode="nearest")
        labels = inside * GREYS + np.rint(values).astype(np.int64)
        return _information(np.bincount(labels, minlength=2 * GREYS).reshape(2, GREYS))

    coarse = max((np.array(s) for s in product(STEPS, repeat=3)), key=known)
    best = max((coarse + np.array(s) for s in product(NEARBY, repeat=3)), key=known)
    here, there = known(np.zeros(3)), known(best)
    return float(np.linalg.norm(best)) if there > max(FITTING, BETTER * here) else 0.0


def _level(array: npt.NDArray[np.float32]) -> tuple[float, str]:
    """The value above which a voxel is inside, and what is wrong with the values."""
    low, high = float(array.min()), float(array.max())
    if low < -0.05 or high <= 0:
        reason = "it is empty" if high <= 0 else f"it has values down to {low:g}"
        return 0.5, f"{reason}, expected 0 outside the brain and 1 inside"
    if high <= 1.05:
        return 0.5, ""
    kinds = np.unique(array)
    if len(kinds) == 2 or (high <= PERCENT and not np.array_equal(kinds, np.rint(kinds))):
        return high / 2, ""
    return 0.5, f"it holds {len(kinds)} labels up to {high:g}, expected a mask of 0 and 1"


def _volume_fault(mask: Volume) -> str:
    ml = float(mask.array.sum()) * abs(np.linalg.det(mask.grid.affine[:3, :3])) / 1000
    if BRAIN_ML[0] <= ml <= BRAIN_ML[1]:
        return ""
    return f"its volume is {ml:.0f} ml, expected that of a brain (is it empty, or inverted?)"


def _place_fault(mask: Volume, brain: Volume, scan: Volume) -> str:
    size = [abs(np.linalg.det(v.grid.affine[:3, :3])) for v in (mask, brain)]
    there = float(brain.array.sum()) * size[1] / (float(mask.array.sum()) * size[0])
    if there < LEAST:
        return f"only {100 * there:.0f} % of it lies in the field of view of the scan"
    head = head_mask(scan).array > 0
    within = float(head[brain.array > 0].mean())
    if within < LEAST:
        return f"only {100 * within:.0f} % of it lies in the head of the scan"
    distance = misplacement(scan, brain)
    if distance > FARTHEST:
        return f"it lies {distance:.0f} mm beside the brain of the scan"
    return ""


def _shell(
    scan: Volume, mask: Volume, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], Volume]:
    """Voxels near the edge of a mask on a coarse copy of the scan, and which are inside."""
    grid = scan.grid.with_spacing([max(SPACING, s) for s in scan.grid.spacing])
    copy = resample(scan, grid)
    inner = resample(mask.with_array(mask.array.astype(np.float32)), grid).array > 0.5
    if inner.all() or not inner.any():
        return np.zeros((0, 3), np.int64), np.zeros(0, np.bool_), copy
    within, beyond = (
        ndimage.distance_transform_edt(side, sampling=grid.spacing) for side in (inner, ~inner)
    )
    points = np.argwhere(np.maximum(within, beyond) <= SHELL)
    points = np.random.default_rng(seed).permutation(points)[:POINTS]
    return points, inner[tuple(points.T)], copy


def _information(counts: npt.NDArray[np.int64]) -> float:
    joint = counts / counts.sum()
    apart = joint.sum(1, keepdims=True) @ joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / apart[there])).sum())
