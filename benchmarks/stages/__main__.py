"""Run one stage: `python -m benchmarks.stages NAME FOLDER`; its figures as JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.stages import STAGES


def main() -> None:
    """Run one stage named on the command line; print its figures as JSON."""
    # As the program does, before torch is loaded: threads that wait do not spin.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    name, work = sys.argv[1], Path(sys.argv[2])
    results = STAGES[name](work)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    peak = max(u.ru_maxrss for u in usage) / 1e6
    print(json.dumps([asdict(replace(result, peak_gb=peak)) for result in results]))


if __name__ == "__main__":
    main()
