"""Growth as a section of the performance page: plots, a table and the plan for large datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth.curve import FLAT, MOST, Curve
from benchmarks.growth.plan import MAX_ARRAY, Footprint, Job, Plan, job_of
from benchmarks.growth.plots import draw

PLOTS = {
    "participants": ("growth-participants.svg", "participants"),
    "million voxels": ("growth-voxels.svg", "the size of images"),
    "modalities": ("growth-modalities.svg", "the number of modalities"),
}
UK_BIOBANK = 100_000
OPENNEURO = (1_500, 50_000)
"""Datasets, and participants in them: orders of magnitude, by what it tells of itself."""


def growth_section(curves: Sequence[Curve], left: Mapping[str, Any], images: Path) -> list[str]:
    """Paragraphs of the page; the plots are written into `images`."""
    lines = ["## Growth", GROWTH.format(most=MOST, flat=100 * FLAT)]
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
GROWTH = """Processor seconds of a whole process and its children; the first point of a curve is
what every run costs. The exponent is the slope in logarithms over the upper tenth of sizes, that
first point subtracted: 1 is linear. Target: nothing above {most:g} (the tenth is for clocks and
caches); what may not grow at all stays within {flat:.0f} % of its first point."""


def growth_table(curves: Sequence[Curve]) -> str:
    """One row a curve."""
    rows = [
        "| what | against | from, s | to, s | peak GB | each more, s | exponent | target | |",
        "|---|---|--:|--:|--:|--:|--:|---|---|",
    ]
    for curve in curves:
        first, last = curve.points[0], curve.points[-1]
        power = "flat" if curve.exponent is None else f"{curve.exponent:.2f}"
        target = "flat" if curve.flat else f"at most {MOST:g}"
        cells = [
            curve.name,
            f"{first.size:,.3g} to {_size(last.size)} {curve.of}",
            f"{first.seconds:.2f}",
            f"{last.seconds:.2f}",
            f"{max(p.peak_gb for p in curve.points):.2f}",
            f"{max(0.0, curve.each):.2g}",
            power,
            target,
            "met" if curve.met else "**missed**",
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
    index, page = (curves[f"{what} of all participants"] for what in ("plan", "page"))
    return [
        "## A plan for very large datasets",
        PLAN.format(
            start=job.start,
            prepare=job.prepare,
            synthesis=job.synthesis,
            files=left.files,
            folders=left.folders,
            mb=1000 * left.gb,
        ),
        plan_table(biobank, openneuro, index, page),
        LAYOUT.format(
            per_task=biobank.per_task,
            tasks=biobank.tasks,
            most=MAX_ARRAY,
            arrays=biobank.arrays,
            hours=biobank.task_hours,
            share=100 * job.start / job.of(1),
            chunk_share=100 * job.start / job.of(biobank.per_task),
        ),
        SHARED.format(
            top=biobank.at_top,
            logs=biobank.tasks * left.log_files,
            writes=biobank.writes_a_second,
            index=_of_all(page, UK_BIOBANK) / 60,
        ),
        FETCHED.format(datasets=datasets, people=people, tb=openneuro.raw_tb, mb=openneuro.raw_mb),
    ]


def plan_table(one: Plan, other: Plan, index: Curve, page: Curve) -> str:
    """Both datasets side by side."""
    cores = (100, 1_000)

    def row(words: str, cell: Any) -> str:
        return f"| {words} | {cell(one)} | {cell(other)} |"

    def wall(count: int) -> Any:
        def cell(plan: Plan) -> str:
            taken = Plan(plan.participants, plan.job, plan.footprint, plan.per_task, count)
            return f"{taken.wall_hours / 24:,.1f} days"

        return cell

    rows = [
        "| extrapolated | UK Biobank's size | all of OpenNeuro |",
        "|---|--:|--:|",
        row("participants, a visit each", lambda p: f"{p.participants:,}"),
        row("core hours", lambda p: f"{p.core_hours:,.0f}"),
        *(row(f"wall time on {n:,} cores", wall(n)) for n in cores),
        row("tasks, participants in each", lambda p: f"{p.tasks:,}, {p.per_task}"),
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


PLAN = """Nobody has run this: the figures are those above, carried on along their lines. Taken for
each participant are one visit with three scans of 1 mm, of which one image is made: {prepare:.0f}
s of preparation and {synthesis:.1f} s of synthesis, figures and page, on one core of this
machine, beside {start:.1f} s to start a job; {files} files in {folders} folders with {mb:.0f} MB
in the output. Scans of less than 1 mm, several sessions and failures that are done again come on
top; so does the time a shared disk takes, which is no processor time. Memory: 4 GB for a task of
one core (`--mem 4G --low-mem`)."""
LAYOUT = """**Array.** An array of tasks with {per_task} participants each (`PER_TASK={per_task}`,
[clusters](clusters.md)): the start is {chunk_share:.1f} % of such a task and would be
{share:.0f} % of one with a single participant. That is {tasks:,} tasks of {hours:.1f} h on one
core. Where `MaxArraySize` is SLURM's own {most}, they are {arrays} arrays, each with its own part
of `participants.txt`; `scontrol show config | grep MaxArraySize` tells. A task that is ended goes
on with the participants who are not done. One core a task wastes nothing: visits are
independent, and what waits for one another within a visit never does so between tasks."""
SHARED = """**Shared disk.** The output's own folder has {top:,} entries, a folder and a page for
each participant, and `logs/` {logs:,}: no job lists the participants of the dataset but once for
the names, and none opens files of others. Files are made at {writes:.0f} a second by 1,000 tasks,
each by a rename, on top of the scans that are read once: a metadata server of a cluster does
thousands. Where quotas count files, put an output of each ten thousand participants into a folder
of its own, or pack figures after review. Above 200 participants no job writes `index.html` and
`verdicts.tsv`, so that 1,000 jobs never wait for their lock: one `participant --index-only` at the
end does, in {index:.0f} min. Work directories belong on the node's own disk; that is where most
small files are made and removed. The raw dataset is better given as lists of labels, since every
`--participant-label` is looked up by its name."""
FETCHED = """**OpenNeuro.** About {datasets:,} datasets with {people:,} participants, in orders of
magnitude; many have no anatomical scan that a recipe could use, which `--dry-run --json` tells on
clones without content. About {mb:.0f} MB of scans are fetched for each participant, {tb:.1f} TB in
all and never at once: `scripts/batch` holds eight participants at a time
([batches](batches.md)). Cloning is what its datasets cost beside that: each clone is some ten
thousand links, a minute or more with DataLad, 1,500 times; a tenth as many jobs at once as cores
keeps the server of the files from refusing. A dataset is a line of the list and a task of an
array; the largest decide when the last task ends, so give those above 500 participants arrays of
their own."""
