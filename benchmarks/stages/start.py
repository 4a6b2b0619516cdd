"""Start: of the interpreter, and of a run on a large dataset."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.stages.measured import Measured, clock


def start_up(_: Path) -> list[Measured]:
    """`bids_synth --version` in a new interpreter."""
    result = Measured("start-up: --version", 0.0)
    command = [sys.executable, "-m", "bids_synth", "--version"]
    with clock(result):
        subprocess.run(command, check=True, capture_output=True)
    return [result]


def index(work: Path) -> list[Measured]:
    """`--dry-run` for one participant of 10,000."""
    from benchmarks.tree import make_tree

    tree = make_tree(work / "tree", 10_000)
    command = [sys.executable, "-m", "bids_synth", str(tree), str(work / "none"), "participant"]
    command += ["--participant-label", "05001", "--dry-run", "-w", str(work / "w")]
    result = Measured("index: --dry-run, 1 of 10,000 participants", 0.0)
    with clock(result):
        subprocess.run(command, check=True, capture_output=True)
    return [result]
