"""Anatomy: label maps of whole heads and of brains, and which tissue each structure is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from bids_synth.segmentation.network import CLASSES

HEAD = 500
"""Labels above it are structures of the head around the brain, as SynthSeg numbers them."""
SURFACE = "surface fluid"
"""The structure that a close stripping takes away with the head."""
MARGIN = 4
"""Voxels of background that are kept around a head."""
WHITE = {2: "white", 41: "white", 7: "cerebellar white", 46: "cerebellar white", 16: "brain stem",
         28: "ventral diencephalon", 60: "ventral diencephalon", 85: "optic chiasm",
         25: "lesion", 57: "lesion"}  # fmt: skip
GREY = {3: "cortex", 42: "cortex", 8: "cerebellar cortex", 47: "cerebellar cortex",
        10: "thalamus", 49: "thalamus", 11: "caudate", 50: "caudate", 12: "putamen",
        51: "putamen", 13: "pallidum", 52: "pallidum", 17: "hippocampus", 53: "hippocampus",
        18: "amygdala", 54: "amygdala", 26: "accumbens", 58: "accumbens",
        29: "undetermined"}  # fmt: skip
FLUID = {4: "ventricles", 43: "ventricles", 5: "ventricles", 44: "ventricles", 14: "ventricles",
         15: "ventricles", 72: "ventricles", 136: "ventricles", 137: "ventricles",
         163: "ventricles", 164: "ventricles", 24: SURFACE, 30: "vessels", 62: "vessels",
         31: "choroid plexus", 63: "choroid plexus"}  # fmt: skip
"""FreeSurfer's and SynthSeg's numbers; left and right share a structure."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One head as structures on a 1 mm grid in RAS order."""

    name: str
    structures: npt.NDArray[np.uint8]
    """(I, J, K) place in `names`; the first, 0, is the background."""
    names: tuple[str, ...]
    tissue: npt.NDArray[np.uint8]
    """(len(names),) place in `CLASSES` of every structure."""
    centre: npt.NDArray[np.float32]
    """(3,) voxel in the middle of the brain."""

    @property
    def whole(self) -> bool:
        """Whether the head around the brain is labelled."""
        return bool((self.tissue == CLASSES.index("head")).any())


def read_anatomy(path: Path) -> Anatomy:
    """The label map of one head; ValueError for a label that is not known or no background."""
    image = nib.as_closest_canonical(nib.load(path))
    labels = np.asarray(image.dataobj).astype(np.int16)
    present = [int(label) for label in np.unique(labels)]
    if present[0] != 0:
        message = f"{path}: expected 0 to be the background, got labels from {present[0]}"
        raise ValueError(message)
    kinds = [structure_of(label) for label in present]
    names = tuple(dict.fromkeys(name for name, _ in kinds))
    tissue = dict(kinds)
    table = np.zeros(max(present) + 1, np.uint8)
    for label, (name, _) in zip(present, kinds, strict=True):
        table[label] = names.index(name)
    structures = _cropped(table[labels])
    places = np.array([CLASSES.index(tissue[name]) for name in names], np.uint8)
    brain = np.argwhere(places[structures[::4, ::4, ::4]] > 1) * 4
    return Anatomy(path.name, structures, names, places, brain.mean(0).astype(np.float32))


def structure_of(label: int) -> tuple[str, str]:
    """The structure of a label and its tissue; ValueError for a label that is not known."""
    for tissue, table in (("white", WHITE), ("grey", GREY), ("csf", FLUID)):
        if label in table:
            return table[label], tissue
    if label == 0:
        return "background", "background"
    if label > HEAD:
        return f"head {label}", "head"
    message = f"label {label} is no structure that is known; name it in training/anatomy.py"
    raise ValueError(message)


def _cropped(structures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    index = np.argwhere(structures[::2, ::2, ::2]) * 2
    start = np.maximum(index.min(0) - MARGIN, 0)
    stop = index.max(0) + 1 + MARGIN
    box = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return np.ascontiguousarray(structures[box])
