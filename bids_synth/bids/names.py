"""File names: BIDS entities to a path and back, one table for writing and for reading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath, PurePosixPath
from types import MappingProxyType
from typing import Any

from bids_synth.core.modality import MODALITIES

ENTITIES: Mapping[str, str] = MappingProxyType(
    {
        "sub": "subject",
        "ses": "session",
        "sample": "sample",
        "task": "task",
        "tracksys": "tracksys",
        "acq": "acquisition",
        "nuc": "nucleus",
        "voi": "volume",
        "ce": "ceagent",
        "trc": "tracer",
        "stain": "staining",
        "rec": "reconstruction",
        "dir": "direction",
        "run": "run",
        "mod": "modality",
        "echo": "echo",
        "flip": "flip",
        "inv": "inv",
        "mt": "mt",
        "part": "part",
        "proc": "proc",
        "hemi": "hemi",
        "from": "from",
        "to": "to",
        "mode": "mode",
        "space": "space",
        "split": "split",
        "recording": "recording",
        "chunk": "chunk",
        "atlas": "atlas",
        "seg": "segmentation",
        "scale": "scale",
        "res": "res",
        "den": "den",
        "label": "label",
        "desc": "desc",
    }
)
"""Key in file names -> name in pybids, in the order that BIDS prescribes in file names."""

KEYS: Mapping[str, str] = MappingProxyType({name: key for key, name in ENTITIES.items()})
"""Name in pybids -> key in file names."""
DATATYPES = tuple(sorted({m.datatype for m in MODALITIES.values()}))
"""Folders in which images of ours lie."""
IMAGES = (".nii", ".nii.gz")
"""How their names end."""
GRAMMAR = "bids_synth 2"
"""Name of the grammar below; another one where the same names are read otherwise."""
LABEL = re.compile(r"[a-zA-Z0-9+]+")
"""What follows the hyphen of an entity."""
_SUFFIX_EXTENSION = re.compile(r"([a-zA-Z0-9+]+)((?:\.[a-zA-Z0-9]+)+)")
_DATATYPES = (
    "anat|beh|ct|dwi|eeg|fmap|func|ieeg|meg|micr|motion|mrs|nirs|perf|pet"  # pybids lacks ct
)


@dataclass(frozen=True)
class Name:
    """What the path of a BIDS file says."""

    participant: str
    """Label without `sub-`."""
    session: str | None
    """Label without `ses-`, or None."""
    datatype: str
    """Folder of the file: anat, pet, perf, ct ..."""
    suffix: str
    """Last word of the name: T1w, mask, xfm ..."""
    extension: str = ".nii.gz"
    """From the first dot on."""
    entities: Mapping[str, str] = field(default_factory=dict)
    """The other entities by key: `{"space": "T1w", "desc": "synth"}`."""

    @property
    def path(self) -> PurePosixPath:
        """The path relative to the dataset; the inverse of `parse_name`."""
        return derivative_path(
            self.participant,
            self.session,
            self.datatype,
            self.suffix,
            entities=self.entities,
            extension=self.extension,
        )


def derivative_path(
    participant: str,
    session: str | None,
    datatype: str,
    suffix: str,
    *,
    entities: Mapping[str, str],
    extension: str = ".nii.gz",
) -> PurePosixPath:
    """The path of a file relative to its dataset, entities in BIDS order.

    Raises ValueError for an unknown entity or a label that BIDS does not allow.

    >>> derivative_path("01", None, "anat", "T2w", entities={"desc": "synth", "space": "T1w"})
    PurePosixPath('sub-01/anat/sub-01_space-T1w_desc-synth_T2w.nii.gz')
    """
    folders = {"sub": participant} | ({} if session is None else {"ses": session})
    if wrong := (entities.keys() & {"sub", "ses"}) | (entities.keys() - ENTITIES.keys()):
        message = f"entities {sorted(wrong)} cannot be given; allowed: {', '.join(ENTITIES)}"
        raise ValueError(message)
    labels = folders | dict(entities)
    for key, label in (*labels.items(), ("datatype", datatype), ("suffix", suffix)):
        if not LABEL.fullmatch(label):
            message = f"{key}: {label!r} is no BIDS label; expected letters and digits"
            raise ValueError(message)
    if not re.fullmatch(r"(\.[a-zA-Z0-9]+)+", extension):
        message = f"extension {extension!r} does not begin with a dot"
        raise ValueError(message)
    stem = "_".join(f"{key}-{labels[key]}" for key in ENTITIES if key in labels)
    folder = PurePosixPath(*(f"{key}-{label}" for key, label in folders.items()), datatype)
    return folder / f"{stem}_{suffix}{extension}"


def parse_name(path: PurePath | str) -> Name:
    """What a path says; the inverse of `derivative_path`, in any order of entities.

    Raises ValueError where the file name is not made of `key-label` pairs and a suffix.

    >>> parse_name("sub-01/pet/sub-01_trc-PBR28_desc-synth_pet.nii.gz").entities
    {'trc': 'PBR28', 'desc': 'synth'}
    """
    path = PurePath(path)
    *pairs, last = path.name.split("_")
    ending = _SUFFIX_EXTENSION.fullmatch(last)
    entities: dict[str, str] = {}
    for pair in pairs:
        key, _, label = pair.partition("-")
        if key not in ENTITIES or not LABEL.fullmatch(label) or key in entities:
            message = f"{path}: {pair!r} is no BIDS entity, or is there twice"
            raise ValueError(message)
        entities[key] = label
    participant, session = entities.pop("sub", None), entities.pop("ses", None)
    if ending is None or participant is None or len(path.parts) < 2:
        message = f"{path}: is no BIDS name; expected sub-<label>[_<key>-<label>]_<suffix>.nii"
        raise ValueError(message)
    return Name(participant, session, path.parts[-2], ending[1], ending[2], entities)


def pybids_grammar() -> dict[str, Any]:
    """What pybids must be given as `config` to know every name of ours.

    It replaces `["bids", "derivatives"]`, which know no `ct` datatype and whose patterns drop
    `run` and `res`: `BIDSLayout(output, config=[pybids_grammar()], validate=False)`.
    """
    entities: list[dict[str, Any]] = [
        {"name": name, "pattern": rf"[_/\\]+{key}-([a-zA-Z0-9+]+)"}
        for key, name in ENTITIES.items()
    ]
    for entity in entities:
        if entity["name"] == "run":
            entity |= {"pattern": r"[_/\\]+run-(\d+)", "dtype": "int"}
        if entity["name"] == "subject":
            entity |= {"pattern": r"[/\\]+sub-([a-zA-Z0-9+]+)", "directory": "{subject}"}
        if entity["name"] == "session":
            entity["directory"] = "{subject}{session}"
    entities += [
        {"name": "suffix", "pattern": r"(?:^|[_/\\])([a-zA-Z0-9+]+)\.[^/\\]+$"},
        {"name": "datatype", "pattern": rf"[/\\]+({_DATATYPES})[/\\]+"},
        {"name": "extension", "pattern": r"[^./\\](\.[^/\\]+)$"},
    ]
    optional = "".join(f"[_{key}-{{{name}}}]" for key, name in list(ENTITIES.items())[2:])
    pattern = (
        "sub-{subject}[/ses-{session}]/{datatype}/sub-{subject}[_ses-{session}]"
        f"{optional}_{{suffix}}{{extension}}"
    )
    return {"name": GRAMMAR, "entities": entities, "default_path_patterns": [pattern]}
