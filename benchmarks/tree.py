"""A dataset of many participants whose files are one byte long: what indexing costs."""

from __future__ import annotations

import json
from pathlib import Path


def make_tree(folder: Path, participants: int) -> Path:
    """A raw BIDS dataset with T1w and PDw for everybody and T2w for every other one."""
    if (folder / "participants.tsv").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    about = {"Name": "tree", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (folder / "dataset_description.json").write_text(json.dumps(about))
    for number in range(participants):
        label = f"sub-{number:05d}"
        anat = folder / label / "anat"
        anat.mkdir(parents=True)
        for suffix in ("T1w", "PDw", "T2w")[: 2 + number % 2]:
            (anat / f"{label}_{suffix}.nii.gz").write_bytes(b"\0")
            (anat / f"{label}_{suffix}.json").write_text("{}")
    rows = "".join(f"sub-{number:05d}\n" for number in range(participants))
    (folder / "participants.tsv").write_text("participant_id\n" + rows)
    return folder
