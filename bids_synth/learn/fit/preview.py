"""Preview: one slice of one validation visit after every epoch, for an animation of the fit."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.system.atomic import atomic_write

FILE = "preview.npz"
SIDE = 128
"""Most pixels of a side; larger slices are thinned by a whole number."""
Look = dict[str, npt.NDArray[Any]]
"""`source`, `synthetic` and, where there is one, `real` slices (H, W), and `source_name` and
`target_name`."""


def middle_slice(image: npt.NDArray[Any]) -> npt.NDArray[np.float16]:
    """The middle axial slice of (I, J, K) in RAS order, float16, at most 128 pixels a side.

    >>> middle_slice(np.zeros((300, 100, 9))).shape
    (100, 34)
    """
    axial = image[:, :, image.shape[2] // 2]
    step = -(-max(axial.shape) // SIDE)
    return np.array(axial[::step, ::step], dtype=np.float16)


def look_at(images: Mapping[str, npt.NDArray[Any]], real: npt.NDArray[Any] | None = None) -> Look:
    """Slices of a source and of the synthetic target, by modality in this order, and of the
    real target where it was acquired.
    """
    (source, image), (target, synthetic) = images.items()
    look = {"source": middle_slice(image), "synthetic": middle_slice(synthetic)}
    if real is not None:
        look["real"] = middle_slice(real)
    return {**look, "source_name": np.array(source), "target_name": np.array(target)}


def add_preview(
    look: Mapping[str, npt.NDArray[Any]], path: Path, epoch: int, score: float
) -> None:
    """Add an epoch to the file; those that a kill left after it or at it are replaced.

    The file holds what the look holds, but `synthetic` (E, H, W), and `epochs` and `scores`
    (E,); it has no pickle and appears by rename.
    """
    old = read_preview(path)
    known = old.get("epochs", np.zeros(0, np.int32)) < epoch
    added = {
        "synthetic": look["synthetic"].astype(np.float16),
        "epochs": np.int32(epoch),
        "scores": np.float32(score),
    }
    arrays = dict(look)
    for name, value in added.items():
        earlier = [old[name][known]] if known.any() else []
        arrays[name] = np.concatenate([*earlier, np.asarray(value)[None]])
    with atomic_write(path) as part:
        np.savez_compressed(part, allow_pickle=False, **arrays)


def read_preview(path: Path) -> Look:
    """What the file holds; nothing where it is absent or damaged, since no fit depends on it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}
