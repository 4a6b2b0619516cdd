"""The MNI152 template that comes with nilearn's wheel: brain T1w and tissue maps, 1 mm."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume, read_volume

SPACE = "MNI152NLin2009aSym"
"""ICBM 152 nonlinear symmetric 2009a (Fonov 2011), the space of the embedded template."""


def template_grid() -> Grid:
    """The template's own grid, without a look at its files: fits need no more of it."""
    affine = np.eye(4)
    affine[:3, 3] = -98, -134, -72
    return Grid((197, 233, 189), affine)


def template_t1w() -> Volume:
    """Brain-only T1w, 197 x 233 x 189 voxels of 1 mm, values 0 to 255, air 0."""
    return _read("t1")


def template_tissue(tissue: str) -> Volume:
    """Probability map, 0 to 1, of `gm` (grey matter) or `wm` (white matter)."""
    volume = _read(tissue)
    return volume.with_array(volume.array / np.float32(255))


@cache
def template_mask() -> Volume:
    """uint8 brain mask with the ventricles and sulci filled."""
    brain: npt.NDArray[np.bool_] = template_t1w().array > 20
    closed = ndimage.binary_closing(brain, iterations=3)
    filled = ndimage.binary_fill_holes(closed)
    return template_t1w().with_array(filled.astype(np.uint8))


@cache
def _read(name: str) -> Volume:
    spec = find_spec("nilearn")
    if spec is None or spec.origin is None:
        message = "nilearn is not installed: it carries the MNI152 template"
        raise ModuleNotFoundError(message)
    folder = Path(spec.origin).parent / "datasets" / "data"
    return read_volume(folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz")
