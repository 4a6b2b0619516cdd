"""Against participants: the plan, a job in a large dataset, the page, visits again, the split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.growth.child import measured
from benchmarks.growth.curve import Curve, Point
from benchmarks.growth.outputs import LABEL, clone, fill, frame, withdraw_images
from benchmarks.tree import make_tree

APP = "bids_synth"


def planned(work: Path, sizes: Sequence[int]) -> list[Curve]:
    """`--dry-run` of one participant, and of all, in a dataset that grows."""
    one: list[Point] = []
    every: list[Point] = []
    for size in sizes:
        tree = make_tree(work / "grown", size)
        words = [APP, str(tree), str(work / "none"), "participant", "--dry-run"]
        words += ["-w", str(work / "w")]
        label = ["--participant-label", f"{size // 2:05d}"]
        one.append(measured(size, [*words, *label], repeats=2))
        every.append(measured(size, words, repeats=2 if size <= 1000 else 1))
    return [
        Curve("plan of one participant", "participants", tuple(one), flat=True),
        Curve("plan of all participants", "participants", tuple(every)),
    ]


def ready(work: Path, resolution: float) -> Path:
    """A folder with `raw` and `out`: one participant, from the phantoms, with all its outputs."""
    place = work / "ready"
    if not (place / "out").exists():
        measured(1, [f"{APP}.demo", str(place / "demo"), "--participants", "1",
                     "--resolution", str(resolution)])  # fmt: skip
        measured(1, _job(place / "demo", place / "first", place / "w"))
        for name, source in (("raw", "demo"), ("out", "first")):
            clone(place / source, "01", frame(place / source, place / name), LABEL)
        (place / "raw" / "participants.tsv").unlink()
    return place


def _job(raw: Path, output: Path, work: Path, *words: str) -> list[str]:
    return [APP, str(raw), str(output), "participant", "-w", str(work), *words]


def in_large_output(work: Path, sizes: Sequence[int], resolution: float) -> list[Curve]:
    """The job of one participant, prepared before, among others, and the page of all."""
    place = ready(work, resolution)
    large = work / "large"
    for name in ("raw", "out"):
        clone(place / name, LABEL, frame(place / name, large / name), LABEL)
    jobs, pages = [], []
    others = 0
    for size in sizes:
        make_tree(large / "raw", size)
        fill(large / "out", others, size)
        others = size
        job = _job(large / "raw", large / "out", work / "w", "--participant-label", LABEL)
        jobs.append(measured(size, job, repeats=2, before=lambda: withdraw_images(large / "out")))
        page = _job(large / "raw", large / "out", work / "w", "--index-only")
        pages.append(measured(size, page, repeats=2 if size <= 1000 else 1))
    return [
        Curve("job of one participant, prepared before", "participants", tuple(jobs), flat=True),
        Curve("page of all participants", "participants", tuple(pages)),
    ]


def again(work: Path, sizes: Sequence[int], resolution: float) -> Curve:
    """A run over visits that have not changed since."""
    place = ready(work, resolution)
    many = work / "many"
    for name in ("raw", "out"):
        frame(place / name, many / name)
    points, known = [], 0
    for size in sizes:
        for number in range(known, size):
            for name in ("raw", "out"):
                clone(place / name, LABEL, many / name, f"{number:05d}")
        known = size
        points.append(measured(size, _job(many / "raw", many / "out", work / "w")))
    return Curve("unchanged visits again", "participants", tuple(points))


def split(sizes: Sequence[int]) -> list[Curve]:
    """The split of so many participants, by label alone and balanced over three columns."""
    curves = []
    for name, words in (("split by label", "plain"), ("split balanced by site, sex, age", "by")):
        points = [
            measured(size, ["benchmarks.growth.one", "split", words, str(size)], repeats=2)
            for size in sizes
        ]
        curves.append(Curve(name, "participants", tuple(points)))
    return curves
