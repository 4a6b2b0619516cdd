"""The stages of the main job, each run alone in a fresh process: `python -m benchmarks.stages`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.stages.fitting import fitting
from benchmarks.stages.measured import Measured
from benchmarks.stages.peers import peers
from benchmarks.stages.preparation import preparation
from benchmarks.stages.scoring import scoring
from benchmarks.stages.start import index, start_up
from benchmarks.stages.synthesis import synthesis

STAGES: dict[str, Callable[[Path], list[Measured]]] = {
    "start-up": start_up,
    "index": index,
    "preparation": preparation,
    "fitting": fitting,
    "peers": peers,
    "synthesis": synthesis,
    "scoring": scoring,
}
