"""Heads of known place: the template's tissues as two modalities, with or without a skull."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bids_synth.core.visit import Prepared, Scan, Visit
from bids_synth.spatial.grid import Affine, Grid, inverse
from bids_synth.spatial.masked_resample import resample_within
from bids_synth.spatial.resample import resample
from bids_synth.spatial.template import template_mask, template_t1w, template_tissue
from bids_synth.spatial.volume import Volume, write_volume

GREYS = {
    "T1w": (1.0, 0.7, 0.25, 0.12, 0.95),
    "T2w": (0.45, 0.65, 1.0, 0.1, 0.55),
    "FLAIR": (0.6, 0.8, 0.15, 0.1, 0.6),
}
"""Brightness of white matter, grey matter, fluid, skull and scalp."""
GAIN = 300.0
"""What a brightness of 1 is in a scan."""
MIDDLE = np.array([0.0, -18.0, 10.0])


@cache
def tissues(spacing: float) -> tuple[np.ndarray, np.ndarray, Grid]:
    """(5, I, J, K) shares of white, grey, fluid, skull, scalp; brain mask; grid."""
    start, stop = (-20, -20, -20), [n + 20 for n in template_t1w().grid.shape]
    fine = template_t1w().grid.crop(start, stop)
    mask = resample(template_mask(), fine, order=0)
    distance = resample(
        mask.with_array(ndimage.distance_transform_edt(mask.array == 0).astype(np.float32)),
        fine.with_spacing(spacing),
    )
    grid = distance.grid
    wm, gm = (resample(template_tissue(t), grid).array for t in ("wm", "gm"))
    inside = resample(mask, grid, order=0).array > 0
    depth = distance.array
    fluid = np.where(inside, np.clip(1 - wm - gm, 0, 1), depth <= 3)
    skull = (depth > 3) & (depth <= 9)
    scalp = (depth > 9) & (depth <= 15)
    shares = np.stack([wm * inside, gm * inside, fluid, skull & ~inside, scalp & ~inside])
    return shares.astype(np.float32), inside, grid


def motion(shift: tuple[float, float, float], degrees: tuple[float, float, float]) -> Affine:
    """4x4 rigid about the middle of the brain, RAS+ mm of the reference -> moved scan."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = np.asarray(shift) + MIDDLE - matrix[:3, :3] @ MIDDLE
    return matrix


def make_scan(
    modality: str,
    *,
    spacing: float,
    stripped: bool = True,
    moved: Affine | None = None,
    noise: float = 0.02,
    bias: float = 0.15,
    seed: int = 0,
) -> Volume:
    """A scan of the phantom; `moved` maps points of the phantom to points of the scan."""
    shares, inside, grid = tissues(spacing)
    image = np.tensordot(np.array(GREYS[modality], np.float32), shares, axes=1)
    if stripped:
        image = image * inside
    volume = Volume(image, grid)
    if moved is not None:
        volume = resample(volume, grid, transform=inverse(moved), order=1)
    rng = np.random.default_rng(seed)
    position = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in grid.shape], indexing="ij"))
    field = np.exp(bias * np.tensordot(rng.normal(size=3), position, axes=1))
    air = volume.array == 0
    parts = [
        volume.array * field + rng.normal(0, noise, grid.shape),
        rng.normal(0, noise, grid.shape),
    ]
    result = np.hypot(*parts) * GAIN
    if stripped:
        result[air] = 0
    return volume.with_array(result.astype(np.float32))


def truth_mask(spacing: float) -> Volume:
    _, inside, grid = tissues(spacing)
    return Volume(inside.astype(np.uint8), grid)


def rms_error(found: Affine, truth: Affine, mask: Volume) -> float:
    """Root-mean-square distance, mm, between two maps over the voxels of a mask."""
    points = mask.grid.to_mm(np.argwhere(mask.array > 0))
    gap = (found - truth)[:3]
    return float(np.sqrt(((points @ gap[:, :3].T + gap[:, 3]) ** 2).sum(1).mean()))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    both = ((one > 0) & (other > 0)).sum()
    return float(2 * both / ((one > 0).sum() + (other > 0).sum()))


def make_visit(folder: Path, scans: dict[str, Volume], participant: str = "01") -> Visit:
    found = {
        m: Scan(m, write_volume(v, folder / f"sub-{participant}_{m}.nii.gz"))
        for m, v in scans.items()
    }
    return Visit(participant, None, found)


def from_native(
    volume: Volume, prepared: Prepared, *, background: float = 0.0, order: int = 3
) -> Volume:
    """From the reference's own grid to the prepared one; the inverse of `to_native`."""
    volume.require_grid(prepared.native)
    return resample_within(
        volume,
        prepared.native_mask_image.array,
        prepared.grid,
        order=order,
        background=background,
        inside=prepared.mask_image.array,
    )
