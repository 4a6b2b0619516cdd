"""Growth as a section of the performance page: plots, a table and the plan for large datasets."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth.curve import FLAT, MOST, Curve
from benchmarks.growth.plan import MAX_ARRAY, Footprint, Job, Plan, job_of
from benchmarks.growth.plots import draw
from benchmarks.growth.words import FETCHED, GROWTH, LAYOUT, PLAN, SHARED

PLOTS = {
    "participants": ("growth-participants.svg", "participants"),
    "million voxels": ("growth-voxels.svg", "the size of images"),
    "modalities": ("growth-modalities.svg", "the number of modalities"),
}
UK_BIOBANK = 100_000
PAGE_KB = 0.44
"""Of an image in the page of all: 8.7 MB for 20,000."""
OPENNEURO = (1_500, 50_000)
"""Datasets, and participants in them: orders of magnitude, by what it tells of itself."""


def growth_section(curves: Sequence[Curve], left: Mapping[str, Any], images: Path) -> list[str]:
    """Paragraphs of the page; the plots are written into `images`."""
    lines = ["## Growth", _filled(GROWTH, most=MOST, flat=100 * FLAT)]
    for of, (name, words) in PLOTS.items():
        shown = [curve for curve in curves if curve.of == of]
        if shown:
            draw(shown, images / name)
            lines.append(f"![Processor time against {words}](images/{name})")
    lines.append(growth_table(curves))
    named = {curve.name: curve for curve in curves}
    if left and named.keys() >= NEEDED:
        job, footprint = job_of(named), Footprint(**left)
        lines += plan_section(job, footprint, named)
    return lines


NEEDED = {
    "unchanged visits again",
    "preparation of two scans",
    "preparation of so many scans",
    "job of one participant, prepared before",
    "plan of all participants",
    "page of all participants",
}


def growth_table(curves: Sequence[Curve]) -> str:
    """One row a curve."""
    rows = [
        "| what | seconds | each more, s | peak GB | exponent | target |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for curve in curves:
        first, last = curve.points[0], curve.points[-1]
        grows = curve.exponent is not None
        cells = [
            f"{curve.name}, {_size(first.size)} to {_size(last.size)} {curve.of}",
            f"{first.seconds:.1f} to {last.seconds:.1f}",
            f"{max(0.0, curve.each):.2g}" if grows else "",
            f"{max(p.peak_gb for p in curve.points):.2f}",
            f"{curve.exponent:.2f}" if grows else "flat",
            ("met: " if curve.met else "**missed**: ") + ("flat" if curve.flat else f"{MOST:g}"),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _size(size: float) -> str:
    return f"{size:,.0f}" if size >= 100 else f"{size:.3g}"


def plan_section(job: Job, left: Footprint, curves: Mapping[str, Curve]) -> list[str]:
    """The plan for a hundred thousand participants, and for all of OpenNeuro."""
    biobank = Plan(UK_BIOBANK, job, left)
    datasets, people = OPENNEURO
    openneuro = Plan(people, job, left, per_task=max(1, round(people / datasets)))
    page = curves["page of all participants"]
    return [
        "## A plan for very large datasets",
        _filled(
            PLAN,
            start=job.start,
            prepare=job.prepare,
            synthesis=job.synthesis,
            files=left.files,
            folders=left.folders,
            mb=1000 * left.gb,
            raw=biobank.raw_mb,
        ),
        plan_table(biobank, openneuro, curves),
        _filled(
            LAYOUT,
            per_task=biobank.per_task,
            tasks=biobank.tasks,
            most=MAX_ARRAY,
            last=MAX_ARRAY - 1,
            arrays=biobank.arrays,
            hours=biobank.task_hours,
            share=100 * job.start / job.of(1),
            chunk_share=100 * job.start / job.of(biobank.per_task),
        ),
        _filled(
            SHARED,
            top=biobank.at_top,
            logs=biobank.tasks * left.log_files,
            writes=biobank.writes_a_second,
            cores=biobank.cores,
            page_mb=UK_BIOBANK * PAGE_KB / 1e3,
            index=_of_all(page, UK_BIOBANK) / 60,
        ),
        FETCHED.format(datasets=datasets, people=people, tb=openneuro.raw_tb, mb=openneuro.raw_mb),
    ]


def _filled(words: str, **figures: float) -> str:
    """A paragraph with its figures, in lines of one length."""
    return textwrap.fill(words.format(**figures), 99, break_on_hyphens=False)


def memory_of(curves: Mapping[str, Curve]) -> int:
    """GB to ask for: a quarter more than any process of a job was seen to take."""
    of_job = [curve for name, curve in curves.items() if name.startswith(("preparation", "job"))]
    return math.ceil(1.25 * max(point.peak_gb for curve in of_job for point in curve.points))


def plan_table(one: Plan, other: Plan, curves: Mapping[str, Curve]) -> str:
    """Both datasets side by side."""
    index, page = (curves[f"{what} of all participants"] for what in ("plan", "page"))
    memory = memory_of(curves)
    cores = (100, 1_000)

    def row(words: str, cell: Any) -> str:
        return f"| {words} | {cell(one)} | {cell(other)} |"

    def wall(count: int) -> Any:
        def cell(plan: Plan) -> str:
            taken = Plan(plan.participants, plan.job, plan.footprint, plan.per_task, count)
            hours = taken.wall_hours
            return f"{hours / 24:,.1f} days" if hours >= 48 else f"{hours:.1f} h"

        return cell

    rows = [
        "| extrapolated | UK Biobank's size | all of OpenNeuro |",
        "|---|--:|--:|",
        row("participants, a visit each", lambda p: f"{p.participants:,}"),
        row("core hours", lambda p: f"{p.core_hours:,.0f}"),
        *(row(f"wall time on {n:,} cores", wall(n)) for n in cores),
        row("tasks, participants in each", lambda p: f"{p.tasks:,}, {p.per_task}"),
        row("memory of a task", lambda _: f"{memory:.0f} GB"),
        row("scans to read", lambda p: f"{p.raw_tb:.1f} TB"),
        row("output", lambda p: f"{p.disk_tb:.1f} TB"),
        row("files and folders of the output", lambda p: f"{p.inodes / 1e6:.1f} million"),
        row("plan of all in one process",
            lambda p: f"{_of_all(index, p.participants) / 60:.0f} min"),
        row("its memory", lambda p: f"{_peak(index, p.participants):.1f} GB"),
        row("page of all", lambda p: f"{_of_all(page, p.participants) / 60:.1f} min"),
        row("its memory", lambda p: f"{_peak(page, p.participants):.1f} GB"),
    ]  # fmt: skip
    return "\n".join(rows)


def _of_all(curve: Curve, size: float) -> float:
    return curve.fixed + curve.each * size


def _peak(curve: Curve, size: float) -> float:
    before, last = curve.points[-2:]
    each = (last.peak_gb - before.peak_gb) / (last.size - before.size)
    return max(last.peak_gb + each * (size - last.size), last.peak_gb)
