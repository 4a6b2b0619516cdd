"""`python -m benchmarks [PART ...] [--json FILE] [--page FILE]`: time, memory and growth.

Without PART those that FILE lacks are measured; `all` measures each anew. What is measured is
kept in FILE with its code, so that a run can be taken in parts; `--page` writes the page from it.

`python -m benchmarks quality [--real] OUT`: the quality of images instead.
`python -m benchmarks trust OUT`: how far images may be trusted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.limits import Limits
from benchmarks.performance.page import write_page
from benchmarks.performance.record import (
    ROOT,
    Part,
    code_here,
    limit_of,
    part_of,
    read_parts,
    write_parts,
)
from benchmarks.stages import STAGES

GROWTH = {"growth-participants": "participants", "growth-images": "images"}
PARTS = (*STAGES, *GROWTH)
KEPT = ROOT / "benchmarks" / "performance.json"


def limits_alone() -> Limits:
    """The limits, measured in a process of their own: a child inherits its parent's peak."""
    return Limits(**_printed(["benchmarks.limits"]))


def run_part(name: str, work: Path) -> dict[str, Any]:
    """Run one part in a process of its own: its figures, or the `fault` that ended it."""
    try:
        if name in GROWTH:
            return dict(_printed(["benchmarks.growth", str(work), GROWTH[name]]))
        return {"measured": _printed(["benchmarks.stages", name, str(work)])}
    except (subprocess.CalledProcessError, ValueError, IndexError) as error:
        return {"fault": str(error)}


def _printed(words: Sequence[str]) -> Any:
    """What a module prints as JSON on its last line."""
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return json.loads(done.stdout.splitlines()[-1])


def show(name: str, part: Part) -> None:
    """A part as lines of the terminal's table."""
    if part.fault:
        print(f"{name}: FAILED: {part.fault}", flush=True)
    for result in part.measured:
        bound, kind = limit_of(result, part.limits)
        met = {None: "", True: "met", False: "missed"}[result.met(bound)]
        print(
            f"{result.stage:50} {result.seconds:9.3f} {result.peak_gb:8.2f} "
            f"{bound:9.3f} {result.seconds / bound if bound else 0:7.1f} {met:>7}  {kind} "
            f"{result.note}",
            flush=True,
        )
    for curve in part.curves:
        power = "flat" if curve.exponent is None else f"{curve.exponent:.2f}"
        print(f"{curve.name} by {curve.of}: {power} {'met' if curve.met else 'missed'}")


def wanted(asked: Sequence[str], known: Mapping[str, Part]) -> list[str]:
    """The parts to measure, in their order."""
    if "all" in asked:
        return list(PARTS)
    lacking = [name for name in PARTS if name not in known or known[name].fault]
    return [name for name in PARTS if name in asked] if asked else lacking


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print the table, keep the figures and write the page; 1 where a part failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"all, {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, default=KEPT, help="where figures are kept")
    parser.add_argument("--page", type=Path, help="the page to write, docs/performance.md")
    arguments = parser.parse_args(words)
    if strange := set(arguments.parts) - {"all", *PARTS}:
        parser.error(f"no part {', '.join(sorted(strange))}; there are all, {', '.join(PARTS)}")
    parts = read_parts(arguments.json)
    todo = wanted(arguments.parts, parts)
    if todo:
        measure(todo, parts, arguments.json)
    if arguments.page:
        write_page(parts, arguments.page)
    return int(any(parts[name].fault for name in todo))


def measure(names: Sequence[str], parts: dict[str, Part], kept: Path) -> None:
    """Measure these parts, one after the other; each is kept as soon as it is known.

    The limits are measured beside each part, and all parts have the best of them: other work may
    have disturbed one.
    """
    code, limits = code_here(), limits_alone()
    print(
        f"{code.name}: {limits.gflops:.0f} GFLOP/s matrix product, {limits.copy_gbs:.1f} GB/s "
        f"copy, {limits.interpreter:.3f} s bare interpreter\n"
    )
    print(f"{'stage':50} {'seconds':>9} {'peak GB':>8} {'limit s':>9} {'ratio':>7} {'':7}  limit")
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(names, 1):
            report = run_part(name, Path(folder))
            limits = limits.best(limits_alone())
            parts[name] = part_of(report, code, limits)
            parts |= {known: replace(parts[known], limits=limits) for known in names[:number]}
            show(name, parts[name])
            ordered = {known: parts[known] for known in PARTS if known in parts}
            write_parts(ordered, kept)


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
        sys.exit(main())
