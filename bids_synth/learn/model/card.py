"""Card: `model.json`, all that a stranger must know about a model, typed and validated."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, field_validator, model_validator

from bids_synth.core.scale import Scale
from bids_synth.learn.data.training_statistics import Range
from bids_synth.learn.model.entry import Digest, Entry, Name
from bids_synth.learn.model.evidence import Alarm, HeldOut, IntervalEntry
from bids_synth.recipe.sections.base import Line

CARD_FORMAT: Literal[1] = 1
LIBRARIES = ("torch", "monai", "lightning", "numpy", "antspyx")
INTENDED_USE = (
    "Research: filling in images that a visit lacks, where a stand-in is better than leaving "
    "the visit out. Not for diagnosis. Lesions and rare anatomy may be missing or invented."
)
LICENCE = "not stated; the terms of the training dataset apply"


class FileEntry(Entry):
    """One file of the model folder."""

    file: str
    """Path inside the folder."""
    sha256: Digest

    @field_validator("file")
    @classmethod
    def _stays_inside(cls, file: str) -> str:
        parts = PurePosixPath(file).parts
        if not re.fullmatch(r"[A-Za-z0-9_./-]+", file) or ".." in parts or file.startswith("/"):
            message = f"a file of the model folder must lie inside it, got {file!r}"
            raise ValueError(message)
        return file


class WeightsEntry(FileEntry):
    """The weights of one network."""

    fold: int = Field(ge=0)
    member: int = Field(ge=0)
    score: float | None
    """Validation score by which these weights were selected; higher is better. None where nobody
    validates."""
    epoch: int = Field(ge=-1)
    """Epoch, 0-based, after which they were taken; -1 where no step made the start better."""


class Origin(Entry):
    """Whom a model, or one that it began from, has learned or been selected from."""

    name: Name
    dataset: Line
    salt: str
    participants: list[str]
    """Hashed labels of the participants."""
    scans: list[Digest] = Field(default_factory=list)
    """Hashed fingerprints of their scans; empty where an older version fitted it."""

    def knows(self, participant: str) -> bool:
        """True for the label (without `sub-`) of one of the participants."""
        return hash_label(self.salt, participant) in self.participants

    def has_seen(self, contents: Iterable[str]) -> bool:
        """True where one of these fingerprints is that of one of the scans."""
        return not {hash_scan(self.salt, one) for one in contents}.isdisjoint(self.scans)


class StartEntry(FileEntry):
    """The answer that the fit of one network began from."""

    fold: int = Field(ge=0)
    member: int = Field(ge=0)


class Card(Entry):
    """What a model is, what it was fitted on and which files it consists of."""

    format: Literal[1] = CARD_FORMAT
    name: Name
    version: Line
    """Version of bids_synth that fitted it."""
    created: Line
    """UTC date and time, ISO 8601."""
    dataset: Line
    """Name of the dataset it was fitted on."""
    tracer: str = Field("", pattern=r"^[a-zA-Z0-9]*$", max_length=40)
    """Tracer of the PETs it was fitted on, as BIDS names it; empty where there is none."""
    licence: Line = LICENCE
    intended_use: Line = INTENDED_USE
    recipe: Digest
    """sha256 of the text of `recipe.toml`."""
    earlier: list[Digest] = Field(default_factory=list, max_length=2)
    """The same of a recipe of the same fit that is just being replaced; empty otherwise."""
    fit: Digest
    """Digest of all that decides the fit: recipe, split, prepared images, seed."""
    network: dict[str, bool | int | float | str | list[int]]
    """What the networks are built from."""
    scales: dict[str, Scale]
    """Modality -> median scale of the training images: the unit of synthetic ones."""
    weights: list[WeightsEntry] = Field(min_length=1, max_length=400)
    start: list[StartEntry] = Field(default_factory=list, max_length=400)
    """Where the fits began; empty for fresh weights, and in cards of before it was kept."""
    baselines: list[FileEntry]
    """`baselines.json` and its arrays."""
    salt: str
    """Goes before a participant's label when it is hashed."""
    training: list[str]
    """Hashed labels of participants whose visits the networks have seen."""
    validation: list[str]
    """Hashed labels of participants that selected the weights."""
    scans: list[Digest] = Field(default_factory=list)
    """Hashed fingerprints of all scans of these participants; empty in older models."""
    ancestors: list[Origin] = Field(default_factory=list)
    """Of every model that the fit began from (`--init-from`), the nearest first."""
    held_out: list[HeldOut] = Field(default_factory=list, max_length=1000)
    """Scores on people whom it had not seen; empty where nobody has looked."""
    intervals: list[IntervalEntry] = Field(default_factory=list, max_length=1000)
    """How wide an interval must be to hold the real value; empty where nobody validated."""
    alarm: Alarm | None = None
    """How far from what taught a visit may be; None where too few taught to say."""
    evidence: int = Field(0, ge=0)
    """Version of the rules by which intervals and alarm were measured; 0 where they were not."""
    ranges: dict[str, Range]
    """Figures of the training visits, for out-of-distribution checks."""
    libraries: dict[str, Line]

    @model_validator(mode="after")
    def _each_once(self) -> Card:
        files = [w.file for w in (*self.weights, *self.start)]
        places = [(w.fold, w.member) for w in self.weights]
        if len(set(files)) < len(files) or len(set(places)) < len(places):
            message = "weights: a file, or a member of a fold, is listed twice"
            raise ValueError(message)
        return self

    def text(self) -> str:
        """`model.json`; ValueError where a number is NaN or infinite, which JSON does not know."""
        return json.dumps(self.model_dump(mode="python"), indent=2, allow_nan=False) + "\n"

    def origins(self) -> tuple[Origin, ...]:
        """This model and every one that it began from: all that its weights have seen."""
        own = Origin(
            name=self.name,
            dataset=self.dataset,
            salt=self.salt,
            participants=sorted({*self.training, *self.validation}),
            scans=self.scans,
        )
        return (own, *self.ancestors)


def hash_label(salt: str, participant: str) -> str:
    """sha256 of the salted label.

    >>> hash_label("a", "01") == hash_label("b", "01")
    False
    """
    return hashlib.sha256(f"{salt}:{participant}".encode()).hexdigest()


def hash_scan(salt: str, fingerprint: str) -> str:
    """sha256 of the salted fingerprint of a scan."""
    return hashlib.sha256(f"{salt}:scan:{fingerprint}".encode()).hexdigest()


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide a fit."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "n/a"
