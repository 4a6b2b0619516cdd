"""Figure: one thing that was measured, and whether its target is met; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite


@dataclass(frozen=True)
class Settings:
    """What every part of the run is told."""

    device: str
    tiny: bool
    """A rehearsal with sizes that a processor does in seconds."""
    work: str
    """Folder for what the parts make."""


@dataclass(frozen=True)
class Figure:
    """One number."""

    name: str
    value: float
    unit: str = ""
    most: float | None = None
    """Target: no more than this."""
    least: float | None = None
    """Target: no less than this."""
    card_only: bool = False
    """Its target is one of a card: a rehearsal does not judge it."""
    note: str = ""

    @property
    def target(self) -> str:
        """The target in words, empty where there is none.

        >>> Figure("step", 2.0, "s", most=3.0).target
        '<= 3 s'
        """
        bounds = [f"<= {self.most:g}"] if self.most is not None else []
        bounds += [f">= {self.least:g}"] if self.least is not None else []
        return " ".join([*bounds, self.unit] if bounds else []).strip()

    def verdict(self, *, rehearsed: bool) -> str:
        """`met` or `missed`; empty without a target, or where a rehearsal cannot tell.

        A figure that is no number misses its target.

        >>> Figure("share", 0.3, least=0.4).verdict(rehearsed=False)
        'missed'
        """
        if not self.target or (rehearsed and self.card_only):
            return ""
        low = self.least is None or self.value >= self.least
        high = self.most is None or self.value <= self.most
        return "met" if low and high and isfinite(self.value) else "missed"


@dataclass
class Part:
    """What a part of the run has told."""

    name: str
    figures: list[Figure] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""
    """Why it failed; empty where it did not."""


def share_of_limit(operations: float, seconds: float, rate: float) -> float:
    """The time that so many operations need at the machine's rate over the time that they took.

    `rate` in operations a second; 0 for what took no time.

    >>> share_of_limit(4e9, 0.5, 16e9)
    0.5
    """
    return operations / rate / seconds if rate > 0 and seconds > 0 else 0.0
