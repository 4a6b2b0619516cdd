"""Lesions: masks of lesions that somebody drew of a visit, beside the raw data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bids_synth.core.visit import Visit

_PATTERNS = ("*_label-lesion_mask.nii*", "*_desc-lesion_mask.nii*", "*_label-L_mask.nii*")


def lesion_mask(visit: Visit, dataset: Path, derivatives: Iterable[Path] = ()) -> Path | None:
    """The file of a visit's lesion mask; None where there is none.

    Looked for in `derivatives` and in the datasets below `dataset/derivatives`, in this order,
    in the folder `anat` of the visit. It lies in the space of the T1w, or of the reference.
    """
    below = dataset / "derivatives"
    roots = [*derivatives, *(sorted(below.iterdir()) if below.is_dir() else [])]
    for root in roots:
        folder = root / f"sub-{visit.participant}"
        folder = folder / f"ses-{visit.session}" if visit.session else folder
        for pattern in _PATTERNS:
            for path in sorted((folder / "anat").glob(pattern)):
                return path
    return None
