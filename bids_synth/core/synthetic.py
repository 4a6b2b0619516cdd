"""Synthetic: an image made by a model, with all that becomes known of it up to the report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from bids_synth.core.scale import Scale
from bids_synth.spatial.volume import Volume

Level = Literal["pass", "review", "fail"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""From best to worst."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    """A figure of the visit or of the image, or what was asked of the model."""
    words: str
    """The same in the words of a reader."""
    value: str
    """What was found, with its unit."""
    expected: str
    """What was expected, or nothing where nobody knows."""
    level: Level


@dataclass(frozen=True)
class Verdict:
    """How far a synthetic image may be trusted, and why."""

    level: Level
    """`pass`, `review` (look at it before use) or `fail` (do not use)."""
    reasons: tuple[str, ...] = ()
    """One sentence for every check that was not passed; empty for `pass`."""
    checks: tuple[Check, ...] = ()
    """Everything that was looked at."""
    strangeness: float = float("nan")
    """Largest deviation from what taught, in standard deviations; NaN where nothing compares."""


@dataclass(frozen=True)
class Interval:
    """Around every voxel of a synthetic image: what is meant to hold the real value."""

    half_width: Volume
    """In the unit of the image, 0 where it was not made."""
    level: float
    """Share of voxels that it is meant to hold."""
    participants: int
    """Held-out participants that it was fitted on."""
    coverage: tuple[float, ...]
    """What it held of each of them when it was fitted on the others; empty for a single one."""


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
    interval: Interval | None = None
    """None where no held-out participant says how wide it must be."""
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
    scale: Scale | None = None
    """What scaled numbers mean in the unit of `image` as it is now; None where nobody said."""

    @property
    def uncertainty(self) -> Volume | None:
        """Half the width of the interval, else the spread; None where neither is known."""
        return self.interval.half_width if self.interval is not None else self.spread

    def in_unit(self, image: Volume, gain: float) -> Synthetic:
        """With another image, whose spread and interval are `gain` times as large."""
        spread, interval, scale = self.spread, self.interval, self.scale
        if spread is not None:
            spread = spread.with_array((spread.array * gain).astype(spread.array.dtype))
        if interval is not None:
            half = interval.half_width
            half = half.with_array((half.array * gain).astype(half.array.dtype))
            interval = replace(interval, half_width=half)
        if scale is not None and not scale.log:
            scale = Scale(scale.offset * gain, scale.gain * gain)
        return replace(self, image=image, spread=spread, interval=interval, scale=scale)
