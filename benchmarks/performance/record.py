"""Record: what was measured, a part at a time, with the machine and the code of each."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.growth.curve import Curve
from benchmarks.limits import Limits
from benchmarks.stages.measured import Measured

ROOT = Path(__file__).resolve().parents[2]
STARTS = ("start-up", "index")
"""How stages are called that are bounded by the start of an interpreter."""
MEASURED = ("bids_synth", "benchmarks/*.py")
"""Files whose content decides what a figure is of."""


@dataclass(frozen=True)
class Code:
    """Which code was measured."""

    commit: str
    content: str
    """Of the program alone: the same where a commit has changed only other files."""

    @property
    def name(self) -> str:
        """As the page names it."""
        return self.commit if self.content != "changed" else f"{self.commit} and changes"


@dataclass(frozen=True)
class Part:
    """One stage, or the growth, as one run has measured it."""

    code: Code
    date: str
    machine: Mapping[str, Any]
    limits: Limits
    measured: Sequence[Measured] = ()
    curves: Sequence[Curve] = ()
    footprint: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""
    """What ended it, where it failed."""


def code_here() -> Code:
    """Commit and content of the code that is checked out; content is `changed` where edited."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        edited = git("status", "--porcelain", "--", *MEASURED)
        return Code(git("rev-parse", "--short", "HEAD"),
                    "changed" if edited else git("rev-parse", "HEAD:bids_synth"))  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return Code("unknown", "changed")


def machine_here() -> dict[str, Any]:
    """Cores, vector instructions, memory and system of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "cores": len(os.sched_getaffinity(0)),
        "vectors": _vectors(),
        "memory_gb": round(memory),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _vectors() -> str:
    """The widest vectors of the processor; not by torch, whose memory children would inherit."""
    path = Path("/proc/cpuinfo")
    flags = set(path.read_text().split()) if path.is_file() else set()
    known = (("amx_bf16", "AMX"), ("avx512f", "AVX512"), ("avx2", "AVX2"))
    return next((name for flag, name in known if flag in flags), platform.machine())


def part_of(data: Mapping[str, Any], code: Code, limits: Limits) -> Part:
    """A part just measured, from the JSON that its process printed."""
    return Part(
        code,
        time.strftime("%Y-%m-%d", time.gmtime()),
        machine_here(),
        limits,
        tuple(Measured(**row) for row in data.get("measured", ())),
        tuple(Curve.from_json(curve) for curve in data.get("curves", ())),
        data.get("footprint", {}),
        data.get("fault", ""),
    )


def read_parts(path: Path) -> dict[str, Part]:
    """Parts by name; none where there is no file."""
    if not path.is_file():
        return {}
    content = json.loads(path.read_text("utf-8"))
    return {name: _part(data) for name, data in content.items()}


def _part(data: Mapping[str, Any]) -> Part:
    return Part(
        Code(**data["code"]),
        data["date"],
        data["machine"],
        Limits(**data["limits"]),
        tuple(Measured(**row) for row in data["measured"]),
        tuple(Curve.from_json(curve) for curve in data["curves"]),
        data["footprint"],
        data["fault"],
    )


def write_parts(parts: Mapping[str, Part], path: Path) -> None:
    """Keep all parts, in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {name: asdict(part) for name, part in parts.items()}
    path.write_text(json.dumps(content, indent=1) + "\n")


def limit_of(result: Measured, limits: Limits) -> tuple[float, str]:
    """Seconds that the machine itself would need, and by which limit; 0 and none where unknown."""
    if result.operations:
        return limits.compute(result.operations), "matrix product"
    if result.size:
        return limits.move(result.size), "copy"
    if result.stage.startswith(STARTS):
        return limits.interpreter, "bare interpreter"
    return 0.0, ""
