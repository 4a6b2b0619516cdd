"""Image row: what is known of one synthetic image of the output, as its sidecar says it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bids_synth.core.synthetic import LEVELS, Check, Level


@dataclass(frozen=True)
class ImageRow:
    """One synthetic image: its verdict, how far it may be off, and how it scored."""

    participant: str
    """Label without `sub-`."""
    session: str | None
    """Label without `ses-`, or None."""
    target: str
    """Modality that it shows."""
    sources: tuple[str, ...]
    """Modalities that it was made from."""
    level: Level
    reasons: tuple[str, ...]
    """One sentence for every check that was not passed."""
    checks: tuple[Check, ...]
    """Everything that was looked at."""
    strangeness: float | None
    """Largest deviation from what taught, in standard deviations."""
    half_width: float | None
    """Median over the mask of half the width of the interval, in `unit`; None without one."""
    unit: str
    scores: Mapping[str, float] = field(default_factory=dict)
    """Metric -> value by `protocol`, where a real image was withheld; `coverage` among them."""
    protocol: str = ""
    model: str = ""
    image: str = ""
    """Path of the image in the output."""
    made: str = ""
    """Digest of what it was made of and by: another one is another image."""

    @property
    def visit(self) -> str:
        """Label of its visit."""
        return f"sub-{self.participant}" + (f"_ses-{self.session}" if self.session else "")


def counted(rows: Iterable[ImageRow]) -> str:
    """How many images there are, and how many of each verdict, in words.

    >>> counted([])
    'no image'
    """
    levels = Counter(row.level for row in rows)
    if not levels:
        return "no image"
    total = levels.total()
    parts = ", ".join(f"{levels[level]} {level}" for level in LEVELS)
    return f"{total} image{'s' * (total > 1)}: {parts}"
