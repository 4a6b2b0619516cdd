"""`python -m benchmarks.peers [CONTEST ...] [--device D]`: rows with ratios, as they come."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path


def main() -> None:
    """Hold the contests that are named, or all that the device has a part in."""
    # As the program does, before torch is loaded: threads that wait do not spin.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from benchmarks.peers.contests import CONTESTS, FULL, ON_A_CARD, field_of, results
    from bids_synth.learn.device import resolve_device

    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument(
        "contests", nargs="*", metavar="CONTEST", help=f"any of {' '.join(CONTESTS)}"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    arguments = parser.parse_args()
    if wrong := set(arguments.contests) - set(CONTESTS):
        parser.error(f"no contest {', '.join(sorted(wrong))}: expected {', '.join(CONTESTS)}")
    device = resolve_device(arguments.device)
    held = [name for name in CONTESTS if device.type == "cpu" or name in ON_A_CARD]
    with tempfile.TemporaryDirectory() as folder:
        field = field_of(FULL, Path(folder), device)
        for name in arguments.contests or held:
            for row in results(field, [name]):
                print(f"{row.stage}: {row.seconds:.4g} s; {row.note}", flush=True)


if __name__ == "__main__":
    main()
