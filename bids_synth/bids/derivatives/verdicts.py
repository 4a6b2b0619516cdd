"""Verdicts: every synthetic image that lies in the output, read from the sidecars alone."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bids_synth.bids.derivatives.dataset import share_ignored
from bids_synth.bids.names import DATATYPES, KEYS, Name, parse_name
from bids_synth.core.catalogue import CATALOGUE
from bids_synth.core.modality import MODALITIES
from bids_synth.core.synthetic import LEVELS, Check
from bids_synth.core.trust.image_row import ImageRow
from bids_synth.spatial.volume import json_text, read_json_object, write_text

TABLE, DESCRIBED = "verdicts.tsv", "verdicts.json"
SCORES = ("psnr", "ssim", "mae", "nmae", "coverage")
"""Scores that the table has a column for."""
_NONE = "n/a"


@dataclass(frozen=True)
class Images:
    """What lies in an output, or in the folders of some of its participants."""

    rows: tuple[ImageRow, ...]
    """In the order of participants, sessions and names."""
    unread: tuple[str, ...] = ()
    """Sidecars, relative to the output, that say no verdict which anyone could read."""
    without: tuple[str, ...] = ()
    """Folders of participants without a synthetic image."""


def images_of(output: Path, participants: Iterable[str] | None = None) -> Images:
    """The synthetic images on the reference's grid; of these participants, or of all.

    Reads names and small JSON files, never an image: about 0.4 s for 1,000 participants.
    """
    folders = _folders(output) if participants is None else [f"sub-{p}" for p in participants]
    rows: list[ImageRow] = []
    unread: list[str] = []
    without: list[str] = []
    for folder in sorted(folders):
        before = len(rows) + len(unread)
        for path in sorted(_sidecars(output / folder)):
            place = path.relative_to(output).as_posix()
            content = read_json_object(path)
            row = _row(place, content) if content else None
            if row is not None:
                rows.append(row)
            elif content is None or content.get("Synthetic") is True:
                unread.append(place)
        if len(rows) + len(unread) == before:
            without.append(folder)
    return Images(tuple(rows), tuple(unread), tuple(without))


def more_participants_than(output: Path, count: int) -> bool:
    """Whether the output has folders of more participants; looks no further than it must."""
    return any(n >= count for n, _ in enumerate(_folders(output)))


def write_verdicts(rows: Iterable[ImageRow], output: Path) -> Path:
    """Write `verdicts.tsv`, one row an image, and `verdicts.json` with what its columns are."""
    share_ignored(output)
    text = json_text(_COLUMNS) + "\n"
    path = output / DESCRIBED
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(text, path)
    lines = ["\t".join(_COLUMNS), *("\t".join(_cells(row)) for row in rows)]
    return write_text("\n".join(lines) + "\n", output / TABLE)


def _folders(output: Path) -> Iterator[str]:
    with os.scandir(output) as entries:
        for entry in entries:
            if entry.name.startswith("sub-") and entry.is_dir():
                yield entry.name


def _sidecars(folder: Path) -> Iterator[Path]:
    """Those of synthetic images as they were made; copies in a template say `res-`."""
    try:
        with os.scandir(folder) as entries:
            inside = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in inside:
        if name.startswith("ses-"):
            yield from _sidecars(folder / name)
        elif name in DATATYPES:
            with os.scandir(folder / name) as files:
                yield from (Path(file.path) for file in files if _is_original(file.name))


def _is_original(name: str) -> bool:
    return name.endswith(".json") and "_desc-synth_" in name and "_res-" not in name


def _row(place: str, content: Mapping[str, Any]) -> ImageRow | None:
    """What a sidecar says; None where it does not say enough."""
    try:
        name = parse_name(PurePosixPath(place))
        model, verdict = content["SynthesisModel"], content["QualityVerdict"]
        doubt = content.get("Uncertainty") or {}
        scored = (content.get("Scores") or [{}])[0]
        level = verdict["Level"]
        target = _target(name)
        if level not in LEVELS or target is None or content.get("Synthetic") is not True:
            return None
        return ImageRow(
            participant=name.participant,
            session=name.session,
            target=target,
            sources=tuple(str(m) for m in model["SourceModalities"]),
            level=level,
            reasons=tuple(sys.intern(str(reason)) for reason in verdict["Reasons"]),
            checks=tuple(_check(check) for check in verdict.get("Checks", ())),
            strangeness=_number(verdict.get("Strangeness")),
            half_width=_number(doubt.get("MedianInMask")) if "Level" in doubt else None,
            unit=str(content.get("Units", "")),
            scores={k: v for k in SCORES if (v := _number(scored.get(k))) is not None},
            protocol=str(scored.get("protocol", "")),
            model=str(model.get("Name", "")),
            image=place.removesuffix(".json") + ".nii.gz",
            made=_made(content, model),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None


def _target(name: Name) -> str | None:
    """The modality that a file name tells of, by its suffix and contrast agent."""
    for modality in MODALITIES.values():
        fixed = {KEYS[entity]: label for entity, label in modality.entities.items()}
        told = all(name.entities.get(key) == label for key, label in fixed.items())
        if modality.suffix == name.suffix and told:
            return modality.name
    return None


def _check(check: Mapping[str, Any]) -> Check:
    level = check["Result"]
    if level not in LEVELS:
        message = f"{level!r} is no verdict"
        raise ValueError(message)
    # One text for all images that say the same: they are most of what the page holds in memory.
    name, words, value, expected = (
        sys.intern(str(check[key])) for key in ("Name", "Description", "Value", "Expected")
    )
    return Check(name, words, value, expected, level)


def _made(content: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """Not of the words about it: an image that is only judged anew stays the same image."""
    told = [model.get(key) for key in ("WeightsSHA256", "SourceModalities")]
    told += [content.get(key) for key in ("PreparationKey", "Calibration", "Units")]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def _number(value: Any) -> float | None:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and abs(value) < float("inf") else None


def _cells(row: ImageRow) -> list[str]:
    numbers = [row.strangeness, row.half_width, *(row.scores.get(name) for name in SCORES)]
    texts = [
        f"sub-{row.participant}",
        f"ses-{row.session}" if row.session else "",
        row.target,
        "+".join(row.sources),
        row.level,
        *("" if number is None else f"{number:.6g}" for number in numbers),
        row.unit,
        row.protocol,
        row.model,
        "; ".join(row.reasons),
        row.image,
    ]
    return [" ".join(text.split()) or _NONE for text in texts]


_COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session, n/a where the dataset has none"},
    "target": {"Description": "Modality of the synthetic image"},
    "sources": {"Description": "Modalities that it was made from, joined by +"},
    "verdict": {
        "Description": "How far it may be trusted, by the checks in QualityVerdict of its sidecar",
        "Levels": {
            "pass": "nothing unusual",
            "review": "look at it before use",
            "fail": "do not use it",
        },
    },
    "strangeness": {
        "Description": "Largest deviation of a figure of the visit from what taught the model",
        "Units": "standard deviations",
    },
    "half_width": {
        "Description": "Doubt: median over the mask of half the width of the voxels' interval, in "
        "the unit of the image"
    },
    **{
        name: {
            "Description": f"{CATALOGUE[name].title}, against the real image where there is one"
        }
        for name in SCORES
        if name in CATALOGUE
    },
    "coverage": {"Description": "Share of the real image's voxels that the interval holds"},
    "unit": {"Description": "Unit of the image"},
    "protocol": {"Description": "How it was scored"},
    "model": {"Description": "Name of the model"},
    "reasons": {"Description": "What was found that is not as expected, joined by semicolons"},
    "image": {"Description": "Path of the image in this dataset"},
}
