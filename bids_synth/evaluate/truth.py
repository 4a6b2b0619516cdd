"""Truth: the acquired scan of a target on the grid on which answers are compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from bids_synth.core.modality import MODALITIES
from bids_synth.core.visit import Prepared
from bids_synth.prepare.checks import read_again
from bids_synth.prepare.native import to_native
from bids_synth.prepare.workflow.steps import scan_on_grid
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.volume import Volume


def truth_on_native(prepared: Prepared, target: str) -> Volume:
    """A scan of `prepared.truths` on the reference's native grid, resampled once."""
    return _read_truth(_Truth.of(prepared, target))


@dataclass(frozen=True)
class _Truth:
    """A scan on the native grid of a preparation, known by the files that decide it."""

    prepared: Prepared = field(compare=False)
    target: str
    files: tuple[Path, ...]
    changed: tuple[int, ...]

    @classmethod
    def of(cls, prepared: Prepared, target: str) -> _Truth:
        scan = prepared.visit.scans[target].path
        files = (scan, prepared.transforms[target], prepared.native_mask)
        return cls(prepared, target, files, tuple(f.stat().st_mtime_ns for f in files))


# Every set of sources is scored against the same scan.
@lru_cache(maxsize=4)
def _read_truth(truth: _Truth) -> Volume:
    prepared, target = truth.prepared, truth.target
    scan = prepared.visit.scans[target]
    transform = read_itk(prepared.transforms[target])
    mask = prepared.native_mask_image
    volume = scan_on_grid(scan.path, target, mask, transform, scan.conversion)
    volume.array.flags.writeable = False
    return volume


def real_on_native(prepared: Prepared, target: str, *, corrected: bool = False) -> Volume:
    """The acquired scan of `target` on the reference's native grid, in its own unit.

    One that is not the reference is sent the way of every answer, inside the mask alone; but
    where preparation has taken shading away (`corrected`), the scan itself is read again: what
    the scanner has acquired is the truth, its shading in it.
    """
    modality = MODALITIES[target]
    shaded = corrected and modality.arbitrary and target != prepared.reference
    if target in prepared.truths or shaded:
        return truth_on_native(prepared, target)
    if target == prepared.reference:
        scan = prepared.visit.scans[target]
        return read_again(scan.path, target, prepared.conversions.get(target, scan.conversion))
    return to_native(prepared.image(target), prepared, background=modality.background)
