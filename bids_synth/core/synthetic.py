"""Synthetic: an image made by a model, with all that becomes known of it up to the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bids_synth.spatial.volume import Volume

Level = Literal["pass", "review", "fail"]


@dataclass(frozen=True)
class Verdict:
    """How far a synthetic image may be trusted, and why."""

    level: Level
    """`pass`, `review` (look at it before use) or `fail` (do not use)."""
    reasons: tuple[str, ...] = ()
    """One sentence for every check that was not passed; empty for `pass`."""


@dataclass(frozen=True)
class Synthetic:
    """One synthetic image of a visit."""

    modality: str
    """What it shows."""
    sources: tuple[str, ...]
    """Modalities that it was made from."""
    image: Volume
    """Mean over the networks, in the modality's unit."""
    spread: Volume | None
    """Standard deviation over the networks, same unit; None with a single network."""
    made_in: Volume | None = None
    """uint8 on the grid of `image`: 1 where it was made; None where that is the whole mask."""
    held: int = 0
    """Prepared voxels that were below what the unit can be, and hold that bound instead."""
    donors: tuple[str, ...] = ()
    """Participants whose real scans gave the image its brightness; empty where none did."""
    verdict: Verdict | None = None
    """How far it may be trusted; None before it was judged."""
    real: Volume | None = None
    """The acquired scan of the same on the grid of `image`, where it was withheld and compared."""
