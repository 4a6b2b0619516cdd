"""A head of shells for tests of what the tissue network learns from."""

from __future__ import annotations

import numpy as np

from training.anatomy import SURFACE, Anatomy

NAMES = ("background", "head 507", SURFACE, "cortex", "white")
TISSUE = np.array([0, 1, 2, 3, 4], np.uint8)
RADII = (22.0, 18.0, 16.0, 12.0)


def ball() -> Anatomy:
    """A head of shells: scalp, fluid, cortex and white matter."""
    index = np.indices((49, 51, 53)) - np.array([24, 25, 26])[:, None, None, None]
    distance = np.sqrt((index**2).sum(0))
    structures = sum((distance < r).astype(np.uint8) for r in RADII)
    return Anatomy("ball", structures, NAMES, TISSUE, np.array([24, 25, 26], np.float32))
