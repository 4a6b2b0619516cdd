"""Masks: brain masks that another pipeline made (`--derivatives NAME=PATH`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bids_synth.bids.checks.doubts import is_derived
from bids_synth.bids.derivatives.sidecars import read_sidecar
from bids_synth.bids.names import Name, parse_name
from bids_synth.bids.raw.folders import locked
from bids_synth.core.modality import MODALITIES
from bids_synth.core.visit import Scan, Visit

_PATTERNS = (
    "*_desc-brain_mask.nii*",
    "*_brainmask.nii*",
    "*_desc-brain_probseg.nii*",
    "*_label-brain_probseg.nii*",
    "*_label-brain_mask.nii*",
)
_NOT_OF_THE_SCAN = frozenset({"desc", "space", "res", "den", "label"})
_INDICES = frozenset({"run", "echo", "flip", "inv", "split", "chunk"})
"""Entities whose labels are numbers: run-1 is run-01."""
_OWN_SPACES = frozenset(kind.suffix for kind in MODALITIES.values())
_NOT_USED = "is not used as the brain mask"


@dataclass(frozen=True)
class MaskFinder:
    """Looks for the brain masks of a visit in derivative datasets."""

    dataset: Path
    """The raw dataset."""
    derivatives: Mapping[str, Path]
    """Name -> folder of a derivative dataset, searched in this order."""
    reference: Sequence[str] = ()
    """Modalities in order of preference as a visit's reference, whose mask is wanted."""

    def add_to(self, visit: Visit) -> tuple[Visit, list[str]]:
        """The visit with the first mask that lies in the space of its reference, and notes.

        Every mask of the visit that is there and not used is named with the reason. Copies in
        standard spaces go without a word beside one that is used.
        """
        notes: list[str] = []
        for pipeline, root in self.derivatives.items():
            folder = root.absolute() / f"sub-{visit.participant}"
            own = folder / f"ses-{visit.session}" if visit.session else folder
            seen = [self._look(path, root.absolute(), visit) for path in _masks_in(own)]
            fitting = [mask for mask in seen if not mask.reason]
            chosen = min(fitting, key=lambda mask: mask.rank, default=None)
            if chosen is None:
                notes += [mask.describe(visit, pipeline) for mask in seen]
                notes += _elsewhere(visit, folder, pipeline) if not seen else []
                continue
            others = [mask for mask in seen if mask is not chosen and not mask.copy]
            notes += [mask.describe(visit, pipeline, beside=chosen) for mask in others]
            return replace(visit, brain_mask=chosen.path, mask_of=chosen.modality), notes
        return visit, notes

    def _look(self, path: Path, root: Path, visit: Visit) -> _Mask:
        try:
            name = parse_name(path.relative_to(root))
        except ValueError:
            return _Mask(path, "its name is none of BIDS")
        if (name.participant, name.session) != (visit.participant, visit.session):
            return _Mask(path, "its name is of another participant or session than its folder")
        space = name.entities.get("space", "T1w")
        scan = _scan_of(space, visit)
        if scan is None:
            return _Mask(path, f"it lies in the space {space}, of which the visit has no scan",
                         copy=space not in _OWN_SPACES)  # fmt: skip
        reference = visit.reference(self.reference) or scan.modality
        if scan.modality != reference:
            entries = (
                f"it lies in the space of the {scan.modality}, the reference is the {reference}"
            )
            return _Mask(path, entries)
        if reason := _other_scan(name, scan) or _other_source(path, scan):
            return _Mask(path, reason)
        shared = len(name.entities.keys() - _NOT_OF_THE_SCAN)
        rank = (name.suffix == "probseg", "res" in name.entities, -shared, path.name)
        return _Mask(path, "", scan.modality, rank)

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


@dataclass(frozen=True)
class _Mask:
    """A brain mask that is there: why it is not used, or how much it is preferred."""

    path: Path
    reason: str
    modality: str = ""
    rank: tuple[bool, bool, int, str] = (True, True, 0, "")
    copy: bool = False
    """True for one in a standard space."""

    def describe(self, visit: Visit, pipeline: str, *, beside: _Mask | None = None) -> str:
        """The line that names it; `beside` is the mask that is used."""
        reason = self.reason or (f"{beside.path.name} is preferred" if beside else "")
        return f"{visit.label}: {self.path} of {pipeline} {_NOT_USED}: {reason}"


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
    derived = {"GeneratedBy", "PipelineDescription"} & keys
    if (not derived and "DatasetType" not in keys) or description.get("DatasetType") == "raw":
        return "is a raw dataset; expected DatasetType derivative in dataset_description.json"
    return None


def _masks_in(folder: Path) -> list[Path]:
    """Every file in a folder's `anat` that is a brain mask by its name."""
    anat = folder / "anat"
    return sorted({path for pattern in _PATTERNS for path in anat.glob(pattern)})


def _elsewhere(visit: Visit, folder: Path, pipeline: str) -> list[str]:
    """A note where a visit has no mask of its own, and its participant has others."""
    if not visit.session:
        return []
    if shared := _masks_in(folder):
        reason = "it is of no one session, and its space may be that of another"
        return [_Mask(shared[0], reason).describe(visit, pipeline)]
    others = [path for session in sorted(folder.glob("ses-*")) for path in _masks_in(session)]
    return [
        _Mask(path, "it is of another session").describe(visit, pipeline) for path in others[:1]
    ]


def _scan_of(space: str, visit: Visit) -> Scan | None:
    """The scan in whose space a mask lies; without `space` it is that of the T1w."""
    scans = [scan for m, scan in visit.scans.items() if MODALITIES[m].suffix == space]
    return min(scans, key=lambda scan: "ce" in scan.entities, default=None)


def _other_scan(name: Name, scan: Scan) -> str:
    """Why a name cannot be that of this scan: another run, another acquisition."""
    for key, label in name.entities.items():
        own = scan.entities.get(key)
        if key not in _NOT_OF_THE_SCAN and not _same(key, label, own):
            return f"it is of {key}-{label}, the scan {scan.path.name} is not"
    return ""


def _other_source(path: Path, scan: Scan) -> str:
    """Why a mask is not of this scan: its sidecar names the acquired images it was made from."""
    sidecar = read_sidecar(path) or {}
    entries = [sidecar.get(key) for key in ("RawSources", "Sources")]
    listed = [s for value in entries for s in ([value] if isinstance(value, str) else value or [])]
    raw = []
    for source in listed:
        try:
            name = parse_name("/".join(["anat", str(source).split(":")[-1]]))
        except ValueError:
            continue
        if name.suffix == MODALITIES[scan.modality].suffix and not is_derived(name):
            raw.append(name)
    if not raw or any(_is_of(name, scan) for name in raw):
        return ""
    return f"its sidecar says that it was made from another scan than {scan.path.name}"


def _is_of(name: Name, scan: Scan) -> bool:
    keys = (name.entities.keys() | scan.entities.keys()) - {"sub", "ses"}
    return all(_same(key, name.entities.get(key), scan.entities.get(key)) for key in keys)


def _same(key: str, label: str | None, other: str | None) -> bool:
    """Whether two labels are one; those that are numbers are compared as numbers."""
    if label is None or other is None or label == other:
        return label == other
    numbers = key in _INDICES and label.isdecimal() and other.isdecimal()
    return numbers and int(label) == int(other)
