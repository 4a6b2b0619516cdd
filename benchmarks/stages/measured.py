"""Measured: what one stage took, what bounds it, and what it may take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SEED = 1
FULL = (182, 218, 182)
"""Voxels of the 1 mm volume that stages are timed on."""


@dataclass
class Measured:
    """One stage."""

    stage: str
    seconds: float
    """Wall time of the work, imports left out."""
    peak_gb: float = 0.0
    """Largest resident memory of the process, children included."""
    operations: float = 0.0
    """Floating-point operations of the work, where they can be counted."""
    size: float = 0.0
    """Bytes that the work must at least read and write."""
    note: str = ""
    most_seconds: float = 0.0
    """Target: it takes no longer than this; 0 where there is none."""
    most_ratio: float = 0.0
    """Target: its time over that of the machine's limit is no more than this; 0 for none."""

    def met(self, limit: float) -> bool | None:
        """Whether the targets are met, `limit` being the machine's seconds; None without any."""
        if not self.most_seconds and not self.most_ratio:
            return None
        quick = not self.most_seconds or self.seconds <= self.most_seconds
        near = not self.most_ratio or self.seconds <= self.most_ratio * limit
        return quick and near


@contextmanager
def clock(result: Measured) -> Iterator[Measured]:
    """Time the body into `result`."""
    start = time.perf_counter()
    yield result
    result.seconds = time.perf_counter() - start
