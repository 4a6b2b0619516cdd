"""python -m bids_synth.demo OUT: write the demo dataset."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bids_synth.demo.dataset import make_demo
from bids_synth.demo.scanner.sequence import DEFAULT, SEQUENCES
from bids_synth.errors import BidsSynthError


def build_parser() -> argparse.ArgumentParser:
    """The demo's command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bids_synth.demo",
        description="Write a BIDS dataset of digital head phantoms with exact ground truth.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="an empty or new folder")
    parser.add_argument("--participants", type=int, default=12, metavar="N")
    parser.add_argument(
        "--resolution", type=float, default=2.0, metavar="MM", help="voxel size of the T1w, 1 to 4"
    )
    parser.add_argument(
        "--modalities",
        nargs="+",
        default=list(DEFAULT),
        metavar="NAME",
        help=f"any of {' '.join(SEQUENCES)}; T1w is always made",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the dataset; 0 when done, 2 on wrong usage."""
    options = build_parser().parse_args(arguments)
    start = time.perf_counter()
    try:
        make_demo(
            options.out,
            participants=options.participants,
            resolution=options.resolution,
            modalities=options.modalities,
            seed=options.seed,
        )
    except BidsSynthError as error:
        print(f"bids_synth.demo: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    seconds = time.perf_counter() - start
    print(f"{options.out}: {options.participants} participants in {seconds:.0f} s")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
