"""Page: the figures of a run as Markdown, and the section of docs/performance.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu.figure import Figure, Part

FIGURES = Path(__file__).parent / "figures"
"""Runs whose figures are kept, one file for each card."""
NO_CARD = (
    "No CUDA card was at hand when this page was written. The run for one, "
    "`bash scripts/gpu/run.sh`, takes less than nine minutes without the network; it was "
    "rehearsed on a processor alone, with tiny sizes, where every part of it ends without a "
    "fault. These of "
    "its targets stand open: at least 40 % of the limit by matrix products in a step of the 3D "
    "recipes at 96 x 96 x 96, at most 5 % of the time spent waiting for data, an image of "
    "182 x 218 x 182 voxels in 0.5 s, steps of two cards 1.4 times as fast as those of one, and "
    "images that differ from the processor's by at most 0.001 of their range in float32 and 0.01 "
    "in bfloat16."
)
TITLE = "## On a GPU"


def report(about: Mapping[str, str], parts: Sequence[Part], *, rehearsed: bool) -> dict[str, Any]:
    """Everything about a run as JSON has it."""
    return {
        "about": dict(about),
        "rehearsed": rehearsed,
        "parts": [
            {
                "name": part.name,
                "seconds": round(part.seconds, 1),
                "error": part.error,
                "figures": [
                    asdict(one) | {"verdict": one.verdict(rehearsed=rehearsed)}
                    for one in part.figures
                ],
            }
            for part in parts
        ],
    }


def table(run: Mapping[str, Any]) -> str:
    """The figures of a run as Markdown: one row each, with target and verdict."""
    lines = ["| part | figure | value | target | verdict | note |", "|---|---|---|---|---|---|"]
    for part in run["parts"]:
        lines += [_row(part["name"], one) for one in part["figures"]]
        if part["error"]:
            lines.append(f"| {part['name']} | **failed** | | | | {_cell(part['error'])} |")
    return "\n".join(lines) + "\n"


def summary(run: Mapping[str, Any]) -> str:
    """How many targets are met, and the names of those that are not."""
    judged = [
        (f"{part['name']}: {one['name']}", one["verdict"])
        for part in run["parts"]
        for one in part["figures"]
        if one["verdict"]
    ]
    missed = [name for name, verdict in judged if verdict == "missed"]
    failed = [part["name"] for part in run["parts"] if part["error"]]
    text = f"{len(judged) - len(missed)} of {len(judged)} targets that it judges are met"
    text += f"; missed: {', '.join(missed)}" if missed else ""
    return text + (f"; failed: {', '.join(failed)}" if failed else "") + "."


def page(run: Mapping[str, Any]) -> str:
    """A run as a page of its own."""
    about = "\n".join(f"- {name}: {value}" for name, value in run["about"].items() if value)
    kind = "A rehearsal with tiny sizes. " if run["rehearsed"] else ""
    return f"# {run['about']['device']}\n\n{about}\n\n{kind}{summary(run)}\n\n{table(run)}"


def gpu_section(folder: Path = FIGURES) -> str:
    """The section about cards: figures where runs on one are kept, else that none was at hand."""
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    runs = [json.loads(path.read_text("utf-8")) for path in files]
    runs = [run for run in runs if not run["rehearsed"]]
    if not runs:
        return f"{TITLE}\n\n{NO_CARD}\n"
    return "\n".join([f"{TITLE}\n", *(_section(run) for run in runs)])


def _section(run: Mapping[str, Any]) -> str:
    about = run["about"]
    with_what = ", ".join(
        f"{name} {about[name]}" for name in ("torch", "cuda", "monai", "python") if about.get(name)
    )
    return f"### {about['device']}\n\n{with_what}. {summary(run)}\n\n{table(run)}"


def _row(part: str, one: Mapping[str, Any]) -> str:
    known = {name: one[name] for name in Figure.__dataclass_fields__}
    figure = Figure(**known)
    value = f"{figure.value:.3g} {figure.unit}".strip()
    cells = (part, figure.name, value, figure.target, one["verdict"], figure.note)
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
