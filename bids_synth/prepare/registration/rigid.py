"""Rigid registration of a visit's scans to its reference."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from bids_synth.errors import VisitError
from bids_synth.prepare.registration.ants_runtime import Stage, register
from bids_synth.spatial.boxes import bounding_box
from bids_synth.spatial.grid import Affine
from bids_synth.spatial.resample import resample
from bids_synth.spatial.similarity import mutual_information
from bids_synth.spatial.volume import Volume

Pair = tuple[Volume, Volume]
COARSE = Stage("Rigid[0.25]", (30, 15), (2, 1), (1, 0))
FINE = Stage("Rigid[0.1]", (15,), (1,), (0,))


@dataclass(frozen=True)
class Settings:
    """How two scans are registered; chosen by `python -m benchmarks.registration`."""

    coarse: Stage = COARSE
    fine: Stage = FINE
    sizes: tuple[float, float] = (2.0, 0.5)
    """Voxel sizes of the copies of the two passes, in units of the recipe's spacing."""
    samples: int = 30_000
    """Voxels, drawn by the seed, that the metric reads in either pass: time grows with them and
    not with the scans. 0: those that the stages name."""


SETTINGS = Settings()
REACH = 15.0
"""Distance around the mask, mm, that the second pass sees: the skull helps, jaw and neck move."""
LEAST = 0.2
"""Fraction of the mask that must lie in the other image's field of view."""
DOUBTFUL = 1.03
"""Normalised mutual information below which a second start is tried."""


def register_rigid(
    reference: Volume,
    moving: Volume,
    mask: Volume,
    *,
    spacing: float,
    seed: int,
    settings: Settings = SETTINGS,
) -> Affine:
    """4x4 rigid, RAS+ mm of `reference` -> `moving`, by Mattes mutual information.

    A first pass on copies of twice `spacing`, mm, sees the whole head; a second on copies of
    half of it (never finer than the scans) the box of the mask and 15 mm around it. `mask` lies
    on the grid of `reference`. Starts from the scanner's coordinates, and where the answer is
    doubtful also from aligned centres of mass; the better one by mutual information is kept.
    Raises VisitError where the images do not overlap or ANTs gives up.
    """
    rough, close, judged = (
        (_copy(reference, size * spacing), _copy(moving, size * spacing))
        for size in (*settings.sizes, 1.0)
    )
    boxed = _boxed(close[0], resample(mask, close[0].grid, order=0))
    around = resample(mask, judged[0].grid, order=0)
    passes = (rough, (boxed, close[1]), judged, around, settings, seed)
    best = _from(np.eye(4), *passes)
    if best is None or best[0] < DOUBTFUL:
        other = _from(_centred(*rough), *passes)
        best = max((b for b in (best, other) if b is not None), key=lambda b: b[0], default=None)
    if best is None:
        message = (
            "does not overlap the reference scan, or could not be registered to it; check that "
            "it shows the same head"
        )
        raise VisitError(message)
    return best[1]


def _from(
    start: Affine,
    rough: Pair,
    close: Pair,
    judged: Pair,
    mask: Volume,
    settings: Settings,
    seed: int,
) -> tuple[float, Affine] | None:
    """Mutual information and the transform that a start leads to; None where it leads nowhere.

    Both are judged on copies of the recipe's spacing, on whose fixed grid the mask lies.
    """
    fixed, moving = judged
    if _overlap(start, moving, mask) < LEAST:
        return None
    coarse, fine = settings.coarse, settings.fine
    if settings.samples:
        coarse = replace(coarse, sampling=_drawn(rough[0], settings.samples))
        fine = replace(fine, sampling=_drawn(close[0], settings.samples))
    try:
        first = register(*rough, (coarse,), start=start, seed=seed).linear
        second = register(*close, (fine,), start=first, seed=seed).linear
    except RuntimeError:
        return None
    if _overlap(second, moving, mask) < LEAST:
        return None
    there = resample(moving, fixed.grid, transform=second)
    return mutual_information(fixed.array, there.array, mask.array), second


def _drawn(image: Volume, samples: int) -> str:
    """The metric's sampling of about so many voxels of an image."""
    return f"Random,{min(1.0, samples / image.array.size):.6f}"


def _boxed(volume: Volume, mask: Volume) -> Volume:
    """The part of a volume within REACH of the box of its mask."""
    box, reach = bounding_box(mask.array), REACH / np.asarray(volume.grid.spacing)
    start = np.maximum([s.start for s in box] - reach, 0).astype(int)
    stop = np.minimum([s.stop for s in box] + reach, volume.grid.shape).astype(int)
    return resample(volume, volume.grid.crop(start.tolist(), stop.tolist()))


def _overlap(transform: Affine, moving: Volume, mask: Volume) -> float:
    """Fraction of the mask that lies in the field of view of the moving image."""
    seen = resample(
        moving.with_array(np.ones(moving.grid.shape, np.uint8)),
        mask.grid,
        transform=transform,
        order=0,
    )
    inside = mask.array > 0
    return float((seen.array[inside] > 0).mean()) if inside.any() else 0.0


def _centred(fixed: Volume, moving: Volume) -> Affine:
    shift = np.eye(4)
    shift[:3, 3] = _centre(moving) - _centre(fixed)
    return shift


def _centre(volume: Volume) -> np.ndarray:
    positive = np.clip(volume.array - np.median(volume.array), 0, None)
    if not positive.any():
        return volume.grid.to_mm((np.asarray(volume.grid.shape) - 1) / 2)
    return volume.grid.to_mm(ndimage.center_of_mass(positive))


def _copy(volume: Volume, spacing: float) -> Volume:
    wanted = [max(spacing, s) for s in volume.grid.spacing]
    return resample(volume, volume.grid.with_spacing(wanted))
