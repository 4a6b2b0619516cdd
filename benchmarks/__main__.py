"""`python -m benchmarks [STAGE ...] [--json FILE]`: every stage, or those named.

`python -m benchmarks quality [--real] OUT`: the quality of images instead.
`python -m benchmarks trust OUT`: how far images may be trusted.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.limits import Limits
from benchmarks.stages import STAGES
from benchmarks.stages.measured import Measured

ROOT = Path(__file__).resolve().parent.parent


def limit_of(result: Measured, limits: Limits) -> tuple[float, str]:
    """Seconds that the machine itself would need, and by which limit."""
    if result.operations:
        return limits.compute(result.operations), "matrix product"
    if result.size:
        return limits.move(result.size), "copy"
    return limits.interpreter, "bare interpreter"


def limits_alone() -> Limits:
    """The limits, measured in a process of their own: a child inherits its parent's peak."""
    command = [sys.executable, "-m", "benchmarks.limits"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return Limits(**json.loads(done.stdout))


def run_stage(name: str, work: Path) -> list[Measured]:
    """Run one stage in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.stages", name, str(work)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return [Measured(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    """Measure, print the table, and write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("stages", nargs="*", choices=[[], *STAGES], default=[])
    parser.add_argument("--json", type=Path, default=Path("benchmark.json"))
    arguments = parser.parse_args()
    limits = limits_alone()
    print(
        f"{platform.machine()}, {limits.gflops:.0f} GFLOP/s matrix product, "
        f"{limits.copy_gbs:.1f} GB/s copy, {limits.interpreter:.3f} s bare interpreter\n"
    )
    print(f"{'stage':50} {'seconds':>9} {'peak GB':>8} {'limit s':>9} {'ratio':>7}  limit")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.stages or STAGES:
            for result in run_stage(name, Path(folder)):
                bound, kind = limit_of(result, limits)
                ratio = result.seconds / bound
                print(
                    f"{result.stage:50} {result.seconds:9.3f} {result.peak_gb:8.2f} "
                    f"{bound:9.3f} {ratio:7.1f}  {kind} {result.note}",
                    flush=True,
                )
                rows.append({**vars(result), "limit_seconds": bound, "limit": kind})
    report = {"limits": vars(limits), "machine": platform.platform(), "stages": rows}
    arguments.json.write_text(json.dumps(report, indent=2) + "\n")


def run_quality(words: Sequence[str]) -> None:
    """The quality benchmark on phantoms, or on real participants."""
    if "--real" in words:
        from benchmarks.real.__main__ import main as real

        real([word for word in words if word != "--real"])
    else:
        from benchmarks.quality import main as phantoms

        phantoms(words)


if __name__ == "__main__":
    if sys.argv[1:2] == ["quality"]:
        run_quality(sys.argv[2:])
    elif sys.argv[1:2] == ["trust"]:
        from benchmarks.trust.__main__ import main as trust

        trust(sys.argv[2:])
    else:
        main()
