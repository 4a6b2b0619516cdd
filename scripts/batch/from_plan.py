"""What of a plan must be fetched: `from_plan.py PLAN [LABEL ...]`, one line each.

Without labels the participants for whom something is done; with labels the files of theirs
whose content is not there. PLAN is what `bids_synth ... --dry-run --json` prints.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def selected(plan: dict[str, Any], labels: list[str]) -> list[str]:
    """Participants of a plan, or the files to fetch for some of them, each once."""
    if not labels:
        return plan["participants"]
    visits = [visit for visit in plan["visits"] if visit["participant"] in labels]
    fetch = set(plan["fetch"])
    return list(dict.fromkeys(f for visit in visits for f in visit["absent"] if f in fetch))


if __name__ == "__main__":
    content = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for line in selected(content, sys.argv[2:]):
        print(line)
