"""Measure curves: `python -m benchmarks.growth FOLDER participants|images`; all as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.growth.curve import Curve
from benchmarks.growth.images import by_modalities, by_size
from benchmarks.growth.participants import again, in_large_output, planned, ready, split
from benchmarks.growth.plan import footprint


@dataclass(frozen=True)
class Sizes:
    """How far each curve goes."""

    participants: Sequence[int] = (1, 10, 100, 1_000, 10_000)
    unchanged: Sequence[int] = (1, 10, 100)
    spacings: Sequence[float] = (3.0, 2.0, 1.5, 1.0, 0.7)
    modalities: Sequence[int] = (1, 2, 3, 4)
    resolution: float = 3.0
    """mm of the phantom of which a dataset is made."""

    grid: float = 2.0
    """mm of the grid on which modalities are compared."""


TINY = Sizes((1,), (1, 2), (4.0,), (1,), 4.0, 4.0)
"""That everything runs, and no more."""


def against_participants(work: Path, sizes: Sizes) -> Iterator[Curve]:
    """Every curve against the number of participants."""
    yield from planned(work, sizes.participants)
    yield from split(sizes.participants)
    yield from in_large_output(work, sizes.participants, sizes.resolution)
    yield again(work, sizes.unchanged, sizes.resolution)


def against_images(work: Path, sizes: Sizes) -> Iterator[Curve]:
    """Every curve against the size of images and the number of modalities."""
    yield from by_size(work, sizes.spacings)
    yield from by_modalities(work, sizes.modalities, sizes.grid)


WHAT = {"participants": against_participants, "images": against_images}


def main(words: Sequence[str] | None = None) -> None:
    """Measure, tell each curve, and print all as JSON on the last line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--tiny", action="store_true", help="only that everything runs")
    arguments = parser.parse_args(words)
    sizes = TINY if arguments.tiny else Sizes()
    curves = []
    for curve in WHAT[arguments.what](arguments.folder, sizes):
        print(told(curve), file=sys.stderr, flush=True)
        curves.append(curve.to_json())
    data: dict[str, Any] = {"curves": curves, "footprint": {}}
    if arguments.what == "participants":
        output = ready(arguments.folder, sizes.resolution) / "out"
        data["footprint"] = asdict(footprint(output))
    print(json.dumps(data))


def told(curve: Curve) -> str:
    """A curve in one line."""
    costs = ", ".join(f"{p.size:.4g}: {p.seconds:.2f} s {p.peak_gb:.2f} GB" for p in curve.points)
    power = "flat" if curve.exponent is None else f"exponent {curve.exponent:.2f}"
    return f"{curve.name} by {curve.of}: {costs}; {power}{'' if curve.met else ', MISSED'}"


if __name__ == "__main__":
    main()
