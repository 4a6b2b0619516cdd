"""Extent: how much of a brain the field of view of a scan can hold, by its header alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bids_synth.core.visit import Scan
from bids_synth.errors import VisitError
from bids_synth.spatial.volume import read_grid

BRAIN = (130.0, 165.0, 120.0)
"""Size of a brain, mm, from left to right, back to front and bottom to top."""
SLAB = 0.6
"""Share of a brain's length along one axis below which a scan is a slab."""
ALIKE = 0.9
"""Share of the widest field of view from which scans count as equally wide."""


def widest(scans: Sequence[Scan]) -> list[Scan]:
    """Those scans of one modality whose field of view holds most of a brain.

    One whose header cannot be read counts as whole: what is wrong with it is told later.
    """
    shares = [_share(scan.path) for scan in scans]
    return [s for s, share in zip(scans, shares, strict=True) if share >= ALIKE * max(shares)]


def slab_mm(path: Path) -> float | None:
    """Thickness, mm, of a scan that is wide as a head and much thinner along one axis; else None.

    VisitError where the header cannot be read.
    """
    sides = _sides(path)
    shares = [mm / brain for mm, brain in zip(sides, BRAIN, strict=True)]
    thinnest = min(range(3), key=shares.__getitem__)
    is_slab = shares[thinnest] < SLAB and max(shares) > ALIKE
    return sides[thinnest] if is_slab else None


def _share(path: Path) -> float:
    try:
        sides = _sides(path)
    except VisitError:
        return 1.0
    result = 1.0
    for mm, brain in zip(sides, BRAIN, strict=True):
        result *= min(1.0, mm / brain)
    return result


def _sides(path: Path) -> list[float]:
    """Length of a field of view, mm, nearest to left-right, back-front and bottom-top."""
    grid = read_grid(path).canonical()
    return [n * mm for n, mm in zip(grid.shape, grid.spacing, strict=True)]
