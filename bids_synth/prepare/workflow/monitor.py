"""Monitor: each step of preparation as it ends: how far all are, its time and its memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nipype import config
from tqdm import tqdm  # type: ignore[import-untyped]

from bids_synth.spatial.volume import write_text
from bids_synth.system.progress import progress

LOG = logging.getLogger(__name__)
COLUMNS = ("visit", "step", "seconds", "peak_memory_gb", "planned_memory_gb", "cpu_percent")
UNKNOWN = "n/a"


class StepLog:
    """Shows how many steps are over, and notes each in the log; nipype calls it of every one.

    Beside it, `resources` is told the same.
    """

    def __init__(self, resources: ResourceLog | None, *, quiet: bool) -> None:
        self.resources, self.quiet = resources, quiet
        self._line: tqdm | None = None
        self._begun: dict[str, float] = {}

    @contextmanager
    def over(self, steps: int) -> Iterator[None]:
        """Inside, the steps run; those that were made before are not told of."""
        with progress(steps, "preparing", quiet=self.quiet, leave=False) as self._line:
            yield
        self._line = None

    def __call__(self, node: Any, status: str) -> None:
        """Note that a step has begun, ended or failed (`exception`)."""
        if self.resources is not None:
            self.resources(node, status)
        if status == "start":
            self._begun[node.fullname] = time.monotonic()
            return
        spent = time.monotonic() - self._begun.get(node.fullname, time.monotonic())
        how = "is done" if status == "end" else "failed"
        LOG.debug("%s: step %s %s in %.1f s", _visit_of(node), node.name, how, spent)
        if self._line is not None:
            self._line.update()


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
        cells = (
            _visit_of(node),
            node.name,
            _text(seconds, 2),
            _text(peak, 3),
            _text(node.mem_gb, 3),
        )
        self.rows.append("\t".join([*cells, _text(busy, 0)]))
        lines = ["\t".join(COLUMNS), *self.rows]
        write_text("\n".join(lines) + "\n", self.path)


def _visit_of(node: Any) -> str:
    return str(node.fullname.split(".")[-2].removesuffix("_wf"))


def _text(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"
