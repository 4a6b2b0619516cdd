"""Plan: what a very large dataset would take on a cluster, from what was measured on a small one.

Arithmetic alone: everything here is extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.growth.curve import Curve

SMALL = 4096
"""Bytes below which a file takes a whole block of the disk, and more for its entry."""
TWO_AT_1_MM = 14.4
"""Million voxels of two scans of 1 mm, 182 x 218 x 182 each."""
MAX_ARRAY = 1001
"""`MaxArraySize` of SLURM where nobody has changed it: indices 0 to 1000."""


@dataclass(frozen=True)
class Footprint:
    """What one participant leaves in the output."""

    files: int
    folders: int
    gb: float
    """Of a visit of three scans, on a prepared grid of 1 mm."""
    log_files: int
    """Of one job, whatever number of participants it does."""


@dataclass(frozen=True)
class Job:
    """What one participant costs, in processor seconds, and a job of any number of them."""

    start: float
    """Until the first visit: interpreter, libraries, model."""
    index: float
    prepare: float
    synthesis: float
    """Of all its images, with figures and page."""

    @property
    def each(self) -> float:
        """Of a participant in a job of several."""
        return self.index + self.prepare + self.synthesis

    def of(self, participants: int) -> float:
        """Of a job of so many participants."""
        return self.start + participants * self.each


@dataclass(frozen=True)
class Plan:
    """A dataset of so many participants on so many cores."""

    participants: int
    job: Job
    footprint: Footprint
    per_task: int = 25
    """Participants of one task of the array."""
    cores: int = 1000
    raw_mb: float = 30.0
    """Of the scans of a visit as they are fetched."""
    raw_files: int = 6

    @property
    def tasks(self) -> int:
        """Tasks of the array."""
        return math.ceil(self.participants / self.per_task)

    @property
    def arrays(self) -> int:
        """Arrays that it takes where an array has at most `MAX_ARRAY` - 1 tasks."""
        return math.ceil(self.tasks / (MAX_ARRAY - 1))

    @property
    def core_hours(self) -> float:
        """Processor time of all."""
        return self.tasks * self.job.of(self.per_task) / 3600

    @property
    def task_hours(self) -> float:
        """Of a task on one core: what its time limit must exceed."""
        return self.job.of(self.per_task) / 3600

    @property
    def wall_hours(self) -> float:
        """With `cores` tasks at a time, one core each: the last of them is waited for."""
        return math.ceil(self.tasks / self.cores) * self.task_hours

    @property
    def disk_tb(self) -> float:
        """Of the output."""
        return self.participants * self.footprint.gb / 1e3

    @property
    def inodes(self) -> int:
        """Files and folders of the output, logs included."""
        left = self.footprint
        own = self.participants * (left.files + left.folders)
        return own + self.tasks * left.log_files

    @property
    def at_top(self) -> int:
        """Entries of the output's own folder: a folder and a page for each participant."""
        return 2 * self.participants

    @property
    def writes_a_second(self) -> float:
        """Files made a second while `cores` tasks run."""
        seconds = self.wall_hours * 3600
        return self.inodes / seconds if seconds else 0.0

    @property
    def raw_tb(self) -> float:
        """Of the scans."""
        return self.participants * self.raw_mb / 1e6


def footprint(output: Path) -> Footprint:
    """What the one participant of an output has left."""
    own = [path for folder in output.glob("sub-*/") for path in (folder, *folder.rglob("*"))]
    pages = [*output.glob("sub-*.html")]
    files = [path for path in own if path.is_file()] + pages
    # In blocks, which is what a disk counts.
    size = sum(math.ceil(path.stat().st_size / SMALL) * SMALL for path in files)
    folders = sum(path.is_dir() for path in own)
    return Footprint(len(files), folders, size / 1e9, log_files=3)


def job_of(curves: Mapping[str, Curve], *, images: int = 1) -> Job:
    """What a participant costs, from the curves: a visit of three scans at about 1 mm."""
    again = curves["unchanged visits again"]
    prepare = _at(curves["preparation of two scans"], TWO_AT_1_MM)
    third = curves["preparation of so many scans"].each
    made = curves["job of one participant, prepared before"].points[0].seconds
    start = again.fixed
    return Job(
        start=start,
        index=again.each,
        prepare=prepare - start + third,
        synthesis=images * max(0.0, made - start),
    )


def _at(curve: Curve, size: float) -> float:
    """Seconds at a size between those measured, by a straight line."""
    sizes, seconds = zip(*((p.size, p.seconds) for p in curve.points), strict=True)
    return float(np.interp(size, sizes, seconds))
