"""Monitor: time and memory of each step of preparation, as nipype measures them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nipype import config

from bids_synth.spatial.volume import write_text

COLUMNS = ("visit", "step", "seconds", "peak_memory_gb", "planned_memory_gb", "cpu_percent")
UNKNOWN = "n/a"


class ResourceLog:
    """A table with one row a step that was run; nipype calls it whenever a step ends.

    Peak memory is that of the process of the step, sampled once a second: a step that is
    shorter is not seen and has n/a.
    """

    def __init__(self, path: Path) -> None:
        """Begin, or go on with, the table at `path`."""
        config.enable_resource_monitor()
        self.path = path
        self.rows = path.read_text("utf-8").splitlines()[1:] if path.is_file() else []

    def __call__(self, node: Any, status: str) -> None:
        """Note the step where it has ended well and was not cached; None otherwise."""
        if status != "end":
            return
        runtime = node.result.runtime
        seconds = getattr(runtime, "duration", None)
        peak = getattr(runtime, "mem_peak_gb", None) or None
        busy = getattr(runtime, "cpu_percent", None) or None
        visit = node.fullname.split(".")[-2].removesuffix("_wf")
        cells = (visit, node.name, _text(seconds, 2), _text(peak, 3), _text(node.mem_gb, 3))
        self.rows.append("\t".join([*cells, _text(busy, 0)]))
        lines = ["\t".join(COLUMNS), *self.rows]
        write_text("\n".join(lines) + "\n", self.path)


def _text(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"
