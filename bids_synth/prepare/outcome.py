"""Outcome: what a workflow left on disk, a prepared visit or the reason of its failure."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from bids_synth.grid import Grid
from bids_synth.scale import Scale
from bids_synth.visit import Prepared, Visit

_REASON = re.compile(r"^\s*(?:\w+\.)*(\w*Error|BrokenProcessPool)\b:? ?(.*)", re.MULTILINE)
_KILLED = "a step was killed, most likely for lack of memory; give it more, or fewer --nprocs"


def read_manifest(path: Path, visit: Visit, key: str) -> Prepared | None:
    """The prepared visit of a manifest; None where it is absent or of other inputs."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(data, dict) or data.get("key") != key:
        return None
    return Prepared(
        visit=visit,
        reference=data["reference"],
        native=_grid(data["native"]),
        grid=_grid(data["grid"]),
        images={m: _beside(path, p) for m, p in data["images"].items()},
        mask=_beside(path, data["mask"]),
        native_mask=_beside(path, data["native_mask"]),
        transforms={m: _beside(path, p) for m, p in data["transforms"].items()},
        template=_beside(path, data["template"]),
        scales={m: Scale(**s) for m, s in data["scales"].items()},
        quality=data["quality"],
        stripped=data["stripped"],
        key=key,
    )


def failure_of(workflow: str, crashes: Sequence[Path]) -> str:
    """Why a workflow ended without its manifest, in one line."""
    for path in sorted(crashes):
        text = path.read_text("utf-8", errors="replace")
        if f"prepare.{workflow}." not in text:
            continue
        found = _REASON.findall(text)
        kind, message = found[-1] if found else ("", "")
        if kind == "VisitError":
            return str(message)
        if kind == "BrokenProcessPool":
            return f"{_KILLED}; see {path}"
        if kind == "MemoryError":
            return f"ran out of memory; give it more, or fewer --nprocs; see {path}"
        return f"unexpected fault ({kind} {message}); see {path}"
    return _KILLED


def _beside(manifest: Path, relative: str) -> Path:
    """A file of the work directory, wherever that has moved to."""
    return Path(os.path.normpath(manifest.parent / relative))


def _grid(data: dict[str, list[object]]) -> Grid:
    i, j, k = (int(str(n)) for n in data["shape"])
    return Grid((i, j, k), data["affine"])  # type: ignore[arg-type]
