"""`python -m benchmarks quality --real OUT`: each study left out in turn; parts are kept.

What was made by an earlier call is taken over, so that a table of hours is made in pieces.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.real.opening import opening
from benchmarks.real.page import page
from benchmarks.real.parts import Bench, lines, make
from benchmarks.real.people import STUDIES

DATASET = Path(__file__).resolve().parents[2].parent / "shared/data/stripped"


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the parts that lack, then the page of all that are there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks quality --real")
    parser.add_argument("out", type=Path)
    parser.add_argument("--dataset", type=Path, default=DATASET)
    parser.add_argument("--lines", nargs="+", choices=lines(), default=lines())
    parser.add_argument("--studies", nargs="+", choices=[*STUDIES], default=[*STUDIES])
    parser.add_argument("--page", type=Path, help="(OUT/out-of-the-box.md)")
    parser.add_argument("--pictures", default="any-contrast", help="line that pictures show")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    options.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.dataset.resolve(), options.out.resolve())
    make(bench, options.lines, options.studies)
    path = options.page or options.out / "out-of-the-box.md"
    page(bench, path, options.pictures)
    opening(bench, path.parent / "images" / "opening.jpg")


if __name__ == "__main__":
    main()
