"""Against the size of images and the number of modalities: preparation, synthesis, report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import nibabel

from benchmarks.growth.child import measured
from benchmarks.growth.curve import Curve, Point

ONE = "benchmarks.growth.one"
FINEST = 1.0
"""mm: phantoms that are finer are resampled."""
MODALITIES = ("T1w", "T2w", "PDw", "FLAIR")


def by_size(work: Path, spacings: Sequence[float]) -> list[Curve]:
    """Preparation of a phantom's scans, synthesis and report, by million voxels."""
    prepared, made, told = [], [], []
    for spacing in spacings:
        raw = _phantom(work / f"size-{spacing:g}", spacing, ("T1w", "T2w"))
        prepared.append(_prepared(raw, _voxels(raw)))
        place = work / f"brain-{spacing:g}"
        words = [str(place), str(spacing)]
        voxels = math.prod((182, 218, 182)) / spacing**3 / 1e6
        made.append(measured(voxels, [ONE, "synthesis", *words, "2"]))
        told.append(measured(voxels, [ONE, "report", *words]))
    return [
        Curve("preparation of two scans", "million voxels", tuple(prepared)),
        Curve("synthesis of an image on a grid as fine", "million voxels", tuple(made)),
        Curve("report of an image", "million voxels", tuple(told)),
    ]


def by_modalities(work: Path, counts: Sequence[int], spacing: float) -> list[Curve]:
    """Preparation of so many scans, and synthesis of one image from so many sources."""
    prepared, made = [], []
    for count in counts:
        raw = _phantom(work / f"modalities-{count}", max(spacing, FINEST), MODALITIES[:count])
        prepared.append(_prepared(raw, count))
        if count < len(MODALITIES):
            words = [str(work / "brain"), str(spacing), str(count)]
            made.append(measured(count, [ONE, "synthesis", *words]))
    return [
        Curve("preparation of so many scans", "modalities", tuple(prepared)),
        Curve("synthesis of one image from so many", "modalities", tuple(made)),
    ]


def _phantom(place: Path, spacing: float, modalities: Sequence[str]) -> Path:
    coarse = max(spacing, FINEST)
    words = [str(place / "made"), "--participants", "1", "--resolution", str(coarse)]
    measured(1, ["bids_synth.demo", *words, "--modalities", *modalities])
    if spacing < FINEST:
        measured(1, [ONE, "finer", str(place / "made"), str(place / "finer"), str(spacing)])
        return place / "finer"
    return place / "made"


def _prepared(raw: Path, size: float) -> Point:
    words = ["bids_synth", str(raw), str(raw.parent / "out"), "participant", "--preproc-only"]
    return measured(size, [*words, "-w", str(raw.parent / "work")])


def _voxels(raw: Path) -> float:
    """Million voxels of the scans of the one participant."""
    paths = raw.glob("sub-*/anat/*.nii.gz")
    return float(sum(math.prod(nibabel.load(path).shape) for path in paths)) / 1e6
