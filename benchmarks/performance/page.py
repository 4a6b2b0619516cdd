"""Page: docs/performance.md and its plots, from the figures that were kept and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce
from pathlib import Path

from benchmarks.growth.page import growth_section
from benchmarks.limits import Limits
from benchmarks.performance.record import ROOT, Part, code_here, limit_of
from benchmarks.stages.measured import Measured

NOTES = ROOT / "benchmarks" / "performance_notes.md"
HEAD = """# Performance

What each stage takes, beside what the machine itself would need for the same arithmetic, and how
costs grow. Figures, plots and plan are written by `python -m benchmarks all --page
docs/performance.md` on an idle machine; the growth alone takes ten minutes of it. Nothing here is
written by hand but the sentences.
"""


def write_page(parts: Mapping[str, Part], page: Path) -> None:
    """Write the page, and the plots of growth beside it in `images/`."""
    page.parent.mkdir(parents=True, exist_ok=True)
    sections = [HEAD.strip(), *machine_lines(parts), "## Stages", *stage_table(parts)]
    sections += _notes()
    curves = [curve for part in parts.values() for curve in part.curves]
    left = next((part.footprint for part in parts.values() if part.footprint), {})
    if curves:
        sections += growth_section(curves, left, page.parent / "images")
    sections += gpu_lines()
    page.write_text("\n\n".join(s.strip("\n") for s in sections if s) + "\n", encoding="utf-8")


def gpu_lines() -> list[str]:
    """The section of the card, written by its own run."""
    from benchmarks.gpu.page import gpu_section

    return [gpu_section().strip()]


def _notes() -> list[str]:
    return [NOTES.read_text("utf-8").strip()] if NOTES.is_file() else []


def machine_lines(parts: Mapping[str, Part]) -> list[str]:
    """Which machine, which code, and what of the figures is of another."""
    if not parts:
        return ["Nothing is measured yet."]
    newest = max(parts.values(), key=lambda part: part.date)
    limits, machine = best_limits(parts, newest), newest.machine
    about = (
        f"{machine['cores']} cores with {machine['vectors']}, {machine['memory_gb']} GB, "
        f"{machine['system']}, Python {machine['python']}: {limits.gflops:.0f} GFLOP/s in a "
        f"float32 matrix product of torch's ({limits.quick_gflops:.0f} by oneDNN), "
        f"{limits.copy_gbs:.0f} GB/s in a copy, a bare interpreter in "
        f"{limits.interpreter:.3f} s. Measured on {newest.date}, code {newest.code.name}."
    )
    lines = [about, *other_code(parts)]
    if faults := [name for name, part in parts.items() if part.fault]:
        lines.append(f"Failed, and therefore not below: {', '.join(faults)}.")
    return lines


def best_limits(parts: Mapping[str, Part], part: Part) -> Limits:
    """The best that the machine of a part was seen to do beside any of the parts."""
    alike = (other.limits for other in parts.values() if other.machine == part.machine)
    return reduce(Limits.best, alike)


def other_code(parts: Mapping[str, Part]) -> list[str]:
    """A line where a part was measured on other code than the program's now."""
    here = code_here()
    strange: dict[str, list[str]] = {}
    for name, part in parts.items():
        if part.code.content != here.content or here.content == "changed":
            strange.setdefault(f"{part.code.name} of {part.date}", []).append(name)
    return [
        f"Measured on other code than lies beside this page, {code}: {', '.join(names)}."
        for code, names in strange.items()
    ]


def stage_table(parts: Mapping[str, Part]) -> list[str]:
    """One row a stage: time, memory, the machine's limit, their ratio, and the target."""
    rows = [
        "| stage | seconds | peak GB | machine's limit, s | ratio | target |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for part in parts.values():
        for result in part.measured:
            limit, kind = limit_of(result, best_limits(parts, part))
            rows.append(_row(result, limit, kind))
    return ["\n".join(rows)] if len(rows) > 2 else ["No stage is measured yet."]


def _row(result: Measured, limit: float, kind: str) -> str:
    met = {None: "", True: "met: ", False: "**missed**: "}[result.met(limit)]
    cells = [
        _cell(f"{result.stage}; {result.note}" if result.note else result.stage),
        digits(result.seconds),
        f"{result.peak_gb:.2f}" if result.peak_gb else "",
        f"{digits(limit)}, {kind}" if kind else "",
        digits(result.seconds / limit) if kind else "",
        met + target_of(result),
    ]
    return f"| {' | '.join(cells)} |"


def target_of(result: Measured) -> str:
    """What a stage may take, in words.

    >>> target_of(Measured("x", 1.0, most_seconds=25, most_ratio=1.4))
    'at most 25 s, ratio at most 1.4'
    """
    parts = [f"at most {digits(result.most_seconds)} s"] if result.most_seconds else []
    parts += [f"ratio at most {result.most_ratio:g}"] if result.most_ratio else []
    return ", ".join(parts)


def digits(number: float) -> str:
    """A number as one reads it: two digits that count, no exponents.

    >>> digits(0.01234), digits(1.26), digits(49.94), digits(1234.5)
    ('0.012', '1.3', '50', '1,234')
    """
    if number >= 100:
        return f"{number:,.0f}"
    if number >= 10:
        return f"{number:.0f}"
    if number >= 1:
        return f"{number:.1f}"
    return f"{number:.2g}" if number >= 0.001 else "under 0.001"


def _cell(text: str) -> str:
    """Text that is one cell: options stay as they are typed."""
    return re.sub(r"(?<!\S)--[\w-]+", r"`\g<0>`", " ".join(text.split()).replace("|", "\\|"))
