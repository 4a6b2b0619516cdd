"""Outcome: what a workflow left on disk, a prepared visit or the reason of its failure."""

from __future__ import annotations

import errno
import re
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from bids_synth.core.manifest import from_manifest
from bids_synth.core.visit import Prepared, Visit
from bids_synth.spatial.volume import read_json_object
from bids_synth.system.os_errors import MORE_MEMORY, explained

_REASON = re.compile(r"^\s*(?:\w+\.)*(\w*Error)\b:? ?(.*)", re.MULTILINE)
_ERRNO = re.compile(r"\[Errno (\d+)\] ([^:]*)(?:: '(.*?)')?")
_NO_MEMORY = re.compile(
    r"bad_alloc|allocate (?:\d+ )?(?:\w+ )?memory|out of memory", re.IGNORECASE
)
_KILLED = f"a step was killed (signal 9), most likely for lack of memory; {MORE_MEMORY}"
_SILENT = (
    "ended without a result or a reason, as a step that is killed for lack of memory; "
    f"{MORE_MEMORY}"
)
_LEAST_SPACE = 2**20


def read_outcome(path: Path, visit: Visit, key: str) -> Prepared | None:
    """The prepared visit of a manifest; None where it is absent or of other inputs."""
    data = read_json_object(path) or {}
    return from_manifest(data, visit, path.parent) if data.get("Key") == key else None


def failure_of(
    workflow: str, crashes: Sequence[Path], work: Path, refused: str | None = None
) -> str:
    """Why a workflow ended without its manifest, in one line.

    `refused` is what the machine refused to nipype itself; `work` the folder it worked in.
    """
    for path in sorted(crashes):
        text = path.read_text("utf-8", errors="replace")
        if f"prepare.{workflow}." in text:
            kind, message = (_REASON.findall(text) or [("", "")])[-1]
            return _reason(kind, message, path, work)
    if refused is None and shutil.disk_usage(work).free < _LEAST_SPACE:
        return explained(OSError(errno.ENOSPC, "", str(work)))
    return refused or _SILENT


def _reason(kind: str, message: str, crash: Path, work: Path) -> str:
    if kind == "VisitError":
        return message
    if kind == "StepKilledError":
        return f"{_killed(int(message))}; see {crash}"
    if kind == "MemoryError" or _NO_MEMORY.search(message):
        return f"{explained(MemoryError())}; see {crash}"
    if match := _ERRNO.match(message):
        number, text, name = match.groups()
        return explained(OSError(int(number), text, name or str(work)))
    return f"unexpected fault ({kind} {message}); see {crash}"


def _killed(number: int) -> str:
    """What a signal that ended a step means: only 9 is the system's, for lack of memory."""
    if number == signal.SIGKILL:
        return _KILLED
    if not number:
        return "a step ended its process; run again, and report it if it stays"
    text = f"signal {number}, {signal.strsignal(number)}"
    return f"a step crashed ({text}), not for lack of memory; report it with the image"
