"""Spelling: which modality a file may be though its name does not say so as BIDS would have it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from bids_synth.bids.names import ENTITIES, IMAGES, KEYS, derivative_path
from bids_synth.core.modality import MODALITIES, Modality

SUFFIXES = {m.suffix.lower(): m.suffix for m in MODALITIES.values()}
"""Suffix of a modality in lower case -> as BIDS writes it."""
ALIKE: Mapping[str, tuple[str, ...]] = {
    "unit1": ("T1w",),
    "pdt2": ("PDw", "T2w"),
    "pd": ("PDw",),
}
"""Suffixes of BIDS in lower case whose images hold what a modality is: MP2RAGE's uniform image is
weighted by T1, a dual echo holds both of its contrasts."""
_OTHERS = (
    "2pe angio asl asllabeling aslcontext beh bf blood bold cars cbv channels chimap coordsystem "
    "conf df dic digitalphoto dseg dwi eeg electrodes epi events fieldmap fibremask flash fluo "
    "headshape ieeg inplanet1 inplanet2 irt1 m0map m0scan magnitude magnitude1 magnitude2 markers "
    "mask meg megre mese mp2rage mpe mpm mrsi mrsref mtrmap mtsat mtvmap mtw mwfmap nirs nlo oct "
    "optodes pc pdmap phase phase1 phase2 phasediff photo physio pli probseg r1map r2map "
    "r2starmap rb1cor rb1map rb1srge rb1tfl s0map sbref sem spim stim svs t1rho t2star t2starw "
    "tb1afi tb1dam tb1epi tb1map tb1rfm tb1srge tb1tfl tem trace unloc upt vfa defacemask xfm "
    "uncertainty oef"
)
OTHERS = frozenset(_OTHERS.split()) - set(SUFFIXES)
"""Other suffixes of BIDS, in lower case: a file that ends in one is that and nothing else."""

_WORDS: tuple[tuple[str, str], ...] = (
    ("T1map", r"q?t1[^a-z0-9]*map"),
    ("T2starmap", r"t2(?:star|s|\*)[^a-z0-9]*map"),
    ("T2map", r"q?t2[^a-z0-9]*map"),
    ("", r"t2[^a-z0-9]*(?:star|\*)w?|t1[^a-z0-9]*rho"),
    ("FLAIR", r"(?:3d)?(?:t2w?[^a-z0-9]*)?flair[a-z0-9]*|dark[^a-z0-9]*fluid|tirm"),
    ("T1w", r"(?:3d)?t1[^a-z0-9]*(?:w[a-z0-9]*|weighted|ce|c|gd|post|3d|mprage|tfe|tse|se|gre)?"),
    ("T1w", r"(?:3d)?m?e?m?p2?rage|mpr|f?spgr|bravo|unit?1|uni"),
    ("T2w", r"(?:3d)?t2[^a-z0-9]*(?:w[a-z0-9]*|weighted|tse|fse|space|3d)?"),
    ("PDw", r"pd[^a-z0-9]*(?:w[a-z0-9]*|weighted)?|proton[^a-z0-9]*density"),
    ("ct", r"[a-z]?ct"),
    ("pet", r"(?:fdg)?pet|suvr?"),
    ("cbf", r"r?cbf"),
    ("cbv", r"r?cbv"),
    ("cmro2", r"cmro[^a-z0-9]*2"),
)
"""Suffix, and how people write it, in lower case; what an earlier line took a later one does not
see. The lines without a suffix are none of ours."""
_GLUED = re.compile("t1w|t2w|pdw|flair")
"""What can be told within a word that was written on: `sub-01T1w`."""
_AGENT = re.compile(r"(?:^|[^a-z])(?:ce|gd|gad[a-z]*|t1w?(?:ce|c|gd)|[a-z]*contrast)(?![a-z])")
_NO_IMAGE = frozenset(
    (
        *("mask", "brainmask", "seg", "dseg", "aseg", "aparc", "segmentation", "roi", "lesion"),
        *("label", "labels", "warp", "xfm", "affine"),
    )
)
_TEXT = (
    *(".json", ".tsv", ".tsv.gz", ".csv", ".txt", ".bval", ".bvec", ".html", ".svg", ".png"),
    *(".jpg", ".jpeg", ".pdf", ".md", ".log", ".edf", ".fif", ".mat", ".xml", ".yaml"),
)
_EXTENSION = re.compile(
    r"\.(nii|gz|bz2|xz|zst|zip|mgz|mgh|hdr|img|mha|mhd|nrrd|nhdr|dcm|ima|mnc|par|rec|v|bak|old|"
    r"orig|tmp|part|copy|\d+)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Spelling:
    """A file name taken apart as far as it can be."""

    stem: str
    """The name without what it ends in."""
    extension: str
    """What it ends in, from the dot of the image type on; empty where it has none."""

    @property
    def suffix(self) -> str:
        """The last word, which in BIDS says what the image is."""
        return self.stem.rsplit("_", 1)[-1]

    @property
    def contrasted(self) -> bool:
        """True where the name tells of a contrast agent, but for the labels of whose it is."""
        pieces = [p for p in self.stem.split("_") if not p.lower().startswith(("sub", "ses"))]
        agent = any(piece.lower().startswith("ce-") for piece in pieces)
        return agent or bool(_AGENT.search(_free_text("_".join(["", *pieces])).lower()))


def spelled(name: str) -> Spelling:
    """A file name as stem and extension.

    >>> spelled("sub-01_T1w.NII.GZ.bak")
    Spelling(stem='sub-01_T1w', extension='.NII.GZ.bak')
    """
    stem = name
    while match := _EXTENSION.search(stem):
        stem = stem[: match.start()]
    return Spelling(stem, name[len(stem) :])


def could_be(name: str) -> frozenset[str]:
    """The suffixes of modalities that a file may be, by all that its name says.

    A name that ends in a suffix of BIDS, in any case, is that alone. Labels of entities that are
    as BIDS has them say nothing: `acq-T1w_bold` is no T1w.

    >>> sorted(could_be("sub-01_T2_FLAIR (1).nii.gz")), sorted(could_be("sub-01_acq-T1w_bold.nii"))
    (['FLAIR'], [])
    """
    if name.lower().endswith(_TEXT):
        return frozenset()
    spelling = spelled(name)
    last = spelling.suffix.lower()
    if last in SUFFIXES:
        return frozenset({SUFFIXES[last]})
    if last == "mp2rage" and "_inv-" not in name:
        return frozenset({"T1w"})
    if last in ALIKE:
        return frozenset(ALIKE[last])
    if last in OTHERS:
        return frozenset()
    text = _free_text(spelling.stem).lower()
    if _NO_IMAGE & set(re.split(r"[^a-z0-9]+", text)):
        return frozenset()
    suffixes = set()
    for suffix, words in _WORDS:
        text, count = re.subn(rf"(?<![a-z0-9])(?:{words})(?![a-z0-9])", " ", text)
        if count and suffix:
            suffixes.add(suffix)
    if not suffixes:
        suffixes = {SUFFIXES[word] for word in _GLUED.findall(text)}
    return frozenset(suffixes)


def better(path: PurePosixPath, suffix: str, modality: Modality) -> str:
    """How BIDS would have a file called that is this modality: folder and name."""
    spelling = spelled(path.name)
    entities, rest = _entities(spelling.stem)
    said, session = entities.pop("sub", ""), entities.pop("ses", "")
    if path.parts[0].startswith("sub-") and len(path.parts) > 1:
        said = path.parts[0][4:]
    if _in_session(path):
        session = path.parts[1][4:]
    known = {said.lower(), session.lower(), suffix.lower(), "map", "weighted"}
    extra = [w for w in map(_label, rest) if w.lower() not in known and not could_be(f"{w}.nii")]
    if extra:
        entities["rec"] = entities.get("rec", "") + "".join(extra)
    entities |= {k: v for k, v in _fixed(modality).items() if v is not None}
    extension = next((e for e in reversed(IMAGES) if spelling.extension.lower() == e), IMAGES[1])
    return str(
        derivative_path(
            _label(said) or "label", _label(session) or None, modality.datatype, suffix,
            entities=entities, extension=extension,
        )
    )  # fmt: skip


def name_faults(path: PurePosixPath, suffix: str) -> list[str]:
    """What is wrong with the name of a file that is meant to be an image of this suffix."""
    spelling = spelled(path.name)
    faults = []
    if spelling.extension not in IMAGES:
        ending = spelling.extension or "nothing"
        faults.append(f"it ends in {ending}, expected .nii.gz or .nii")
    *pieces, last = spelling.stem.split("_")
    if last != suffix:
        faults.append(f"its last word is {last!r}, expected {suffix}")
    nameless = not pieces or not pieces[0].startswith("sub-")
    if nameless:
        faults.append("it does not begin with sub-<label>_")
    keys = [piece.partition("-")[0] for piece in pieces]
    faults += [fault for piece in pieces[nameless:] if (fault := _piece_fault(piece))]
    faults += [f"{key!r} is there twice" for key in dict.fromkeys(keys) if keys.count(key) > 1]
    return faults


def place_faults(path: PurePosixPath, datatype: str) -> list[str]:
    """What is wrong with the folder of a file."""
    within = path.parts[2 if _in_session(path) else 1 : -1]
    faults = []
    if not path.parts[0].startswith("sub-"):
        faults.append(f"it lies in {path.parts[0]!r}, expected a folder sub-<label>")
    if within != (datatype,):
        place = "/".join(within) or "no folder"
        faults.append(f"it lies in {place}, expected {datatype}")
    return faults


def _piece_fault(piece: str) -> str | None:
    key, _, label = piece.partition("-")
    if key not in ENTITIES:
        return f"{piece!r} is no entity of BIDS"
    if not label:
        return f"{piece!r} has no label"
    if "-" in label:
        return f"{piece!r} has a hyphen inside its label"
    strange = _label(label) != label
    return f"{piece!r} has a letter that labels do not have" if strange else None


def _in_session(path: PurePosixPath) -> bool:
    return len(path.parts) > 2 and path.parts[1].startswith("ses-")


def _fixed(modality: Modality) -> dict[str, str | None]:
    return {KEYS[name]: label for name, label in modality.entities.items()}


def _free_text(stem: str) -> str:
    """A stem without the entities that are spelled as BIDS has them, its last word in any case."""
    *pieces, last = stem.split("_")
    kept = [
        piece
        for piece in pieces
        if not (re.fullmatch(r"[a-z]+-[a-zA-Z0-9+]+", piece) and piece.split("-")[0] in ENTITIES)
    ]
    return "_".join([*kept, last])


def _entities(stem: str) -> tuple[dict[str, str], list[str]]:
    """Entities of a stem with labels made fit, and the words that are none."""
    entities: dict[str, str] = {}
    rest: list[str] = []
    for piece in re.split(r"[_\s]+", stem):
        key, _, label = piece.partition("-")
        if key.lower() in ENTITIES and _label(label) and key.lower() not in entities:
            entities[key.lower()] = _label(label)
        else:
            rest.append(piece)
    return entities, rest


def _label(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9+]", "", text)
