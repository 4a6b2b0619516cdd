"""A dataset of many participants whose images are tiny files: what looking at it costs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel
import numpy as np

SIDE = 128
SPACING = 2.0
"""Voxels and mm of every image: by its header it passes for a head, and its air packs well."""


def make_tree(folder: Path, participants: int) -> Path:
    """A raw BIDS dataset with T1w and PDw for everybody and T2w for every other one.

    Where it is there with fewer participants, the others are added.
    """
    table = folder / "participants.tsv"
    known = len(table.read_text().splitlines()) - 1 if table.exists() else 0
    folder.mkdir(parents=True, exist_ok=True)
    about = {"Name": "tree", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (folder / "dataset_description.json").write_text(json.dumps(about))
    image = _image()
    for number in range(known, participants):
        label = f"sub-{number:05d}"
        anat = folder / label / "anat"
        anat.mkdir(parents=True)
        for suffix in ("T1w", "PDw", "T2w")[: 2 + number % 2]:
            (anat / f"{label}_{suffix}.nii.gz").write_bytes(image)
            (anat / f"{label}_{suffix}.json").write_text("{}")
    rows = "".join(f"sub-{number:05d}\n" for number in range(max(known, participants)))
    table.write_text("participant_id\n" + rows)
    return folder


def _image() -> bytes:
    """A NIfTI file of about 2 kB."""
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = -SIDE * SPACING / 2
    head = nibabel.Nifti1Image(np.ones((SIDE, SIDE, SIDE), np.uint8), affine)
    head.header.set_xyzt_units("mm")
    return gzip.compress(head.to_bytes(), mtime=0)
