"""Peers: samples a second beside what others would write, on the processor and on a card."""

from __future__ import annotations

from pathlib import Path

from benchmarks.stages.measured import Measured


def peers(work: Path) -> list[Measured]:
    """A row for each contest; the target is the peer's time in the same run."""
    import torch

    from benchmarks.peers.contests import FULL, ON_A_CARD, field_of, results

    field = field_of(FULL, work / "peers", torch.device("cpu"))
    rows = results(field)
    if torch.cuda.is_available():
        card = field_of(FULL, work / "peers-card", torch.device("cuda", 0))
        rows += results(card, [name for name in FULL.turns if name in ON_A_CARD])
    return rows
