"""Masks: brain masks that another pipeline made (`--derivatives NAME=PATH`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bids_synth.bids.folders import locked
from bids_synth.bids.names import Name, parse_name
from bids_synth.modality import MODALITIES
from bids_synth.visit import Scan, Visit

_NOT_OF_THE_SCAN = frozenset({"desc", "space", "res", "den"})


@dataclass(frozen=True)
class MaskFinder:
    """Looks for `*_desc-brain_mask.nii.gz` of a visit in derivative datasets."""

    dataset: Path
    """The raw dataset."""
    derivatives: Mapping[str, Path]
    """Name -> folder of a derivative dataset, searched in this order."""

    def add_to(self, visit: Visit) -> tuple[Visit, list[str]]:
        """The visit with the first mask that lies in the space of one of its scans, and notes."""
        notes: list[str] = []
        for pipeline, root in self.derivatives.items():
            folder = root.absolute() / f"sub-{visit.participant}"
            own = folder / f"ses-{visit.session}" if visit.session else folder
            candidates = [m for path in _masks_in(own) if (m := _match(path, visit))]
            if candidates:
                _, mask, modality = min(candidates)
                return replace(visit, brain_mask=mask, mask_of=modality), notes
            if visit.session and (shared := _masks_in(folder)):
                notes.append(
                    f"{visit.label}: {shared[0]} of {pipeline} is of no one session and is not "
                    "used, since its space may be that of another session"
                )
        return visit, notes

    def locked(self, visit: Visit) -> list[str]:
        """Folders of the visit that may hold a mask and cannot be looked into."""
        session = [f"ses-{visit.session}"] if visit.session else []
        steps = [f"sub-{visit.participant}", *session, "anat"]
        return [
            fault
            for root in self.derivatives.values()
            for count in range(1, len(steps) + 1)
            if (fault := locked(root.absolute().joinpath(*steps[:count])))
        ][:1]


def derivative_problems(derivatives: Mapping[str, Path]) -> list[str]:
    """One line for every path that is no derivative dataset."""
    return [
        f"--derivatives {name}={path}: {fault}"
        for name, path in derivatives.items()
        if (fault := _derivative_fault(path))
    ]


def _derivative_fault(path: Path) -> str | None:
    if not path.is_dir():
        return "there is no such folder"
    try:
        description = json.loads((path / "dataset_description.json").read_text(encoding="utf-8"))
    except OSError:
        return "is no derivative dataset: it has no readable dataset_description.json"
    except (ValueError, RecursionError) as error:
        return f"its dataset_description.json is not valid JSON: {error}"
    keys = description.keys() if isinstance(description, dict) else set()
    made = {"GeneratedBy", "PipelineDescription"} & keys
    if (not made and "DatasetType" not in keys) or description.get("DatasetType") == "raw":
        return "is a raw dataset; expected DatasetType derivative in dataset_description.json"
    return None


def _masks_in(folder: Path) -> list[Path]:
    return sorted((folder / "anat").glob("*_desc-brain_mask.nii.gz"))


def _match(path: Path, visit: Visit) -> tuple[tuple[bool, int, str], Path, str] | None:
    """Preference, path and modality of a mask that fits a scan of the visit."""
    try:
        name = parse_name(path)
    except ValueError:
        return None
    scan = _scan_of(name, visit)
    if scan is None or (name.participant, name.session) != (visit.participant, visit.session):
        return None
    shared = {k: v for k, v in name.entities.items() if k not in _NOT_OF_THE_SCAN}
    if any(scan.entities.get(key) != label for key, label in shared.items()):
        return None
    return ("res" in name.entities, -len(shared), path.name), path, scan.modality


def _scan_of(name: Name, visit: Visit) -> Scan | None:
    """The scan in whose space a mask lies; without `space` it is that of the T1w."""
    space = name.entities.get("space", "T1w")
    scans = [scan for m, scan in visit.scans.items() if MODALITIES[m].suffix == space]
    return min(scans, key=lambda scan: "ce" in scan.entities, default=None)
