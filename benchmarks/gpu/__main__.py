"""`python -m benchmarks.gpu OUT [--device cuda] [--tiny] [--only PART ...]`: the whole run.

Needs what `bids_synth.learn` needs, no network, and less than nine minutes. OUT/gpu.json and
OUT/gpu.md are written after each part. The exit code is 1 where a part failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks.gpu.apart import Body, Tell, run_part
from benchmarks.gpu.equality import equality
from benchmarks.gpu.figure import Figure, Part, Settings
from benchmarks.gpu.fits import any_contrast, carried, resumed
from benchmarks.gpu.machine import about, copy_rate, matrix_rate
from benchmarks.gpu.making import synthesis
from benchmarks.gpu.page import page, report
from benchmarks.gpu.phantoms import brains
from benchmarks.gpu.steps import step, variants
from benchmarks.gpu.together import together
from bids_synth.learn.device import resolve_device
from bids_synth.recipe.recipe import recipe_names
from bids_synth.spatial.volume import json_text, write_text

BUDGET = 520.0
"""Seconds of the whole run."""
FEWEST = 5.0
"""Seconds that must be left for a part to begin."""


def limits(settings: Settings, tell: Tell) -> None:
    """What the machine can do at best."""
    device = resolve_device(settings.device)
    kinds = {"float32": (torch.float32, False), "bfloat16": (torch.bfloat16, False)}
    if device.type == "cuda":
        kinds["TF32"] = (torch.float32, True)
    for name, (dtype, tf32) in kinds.items():
        rate = matrix_rate(device, dtype, settings, tf32=tf32)
        tell(Figure(f"matrix product, {name}", rate / 1e12, "TFLOP/s"))
    tell(Figure("copy", copy_rate(device, settings) / 1e9, "GB/s"))


def making_phantoms(settings: Settings, tell: Tell) -> None:
    """The visits that most parts share."""
    began = time.perf_counter()
    count = len(brains(settings))
    tell(Figure("two visits", time.perf_counter() - began, "s", note=f"{count} brains"))


PARTS: dict[str, tuple[Body, float]] = {
    "limits": (limits, 40),
    "phantoms": (making_phantoms, 60),
    "equality": (equality, 60),
    "synthesis": (synthesis, 60),
    **{f"step of {name}": (partial(step, name), 45) for name in sorted(recipe_names())},
    "resumed": (resumed, 45),
    "any-contrast": (any_contrast, 120),
    "carried": (carried, 40),
    "together": (together, 60),
    "variants": (variants, 120),
}
"""Name -> what is measured, and the seconds that it may take at most."""


def main(words: Sequence[str] | None = None) -> int:
    """Run all parts, or those named; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes: a rehearsal")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), metavar="PART")
    chosen = parser.parse_args(words)
    chosen.out.mkdir(parents=True, exist_ok=True)
    known, parts, end = about(chosen.device), [], time.monotonic() + BUDGET
    with tempfile.TemporaryDirectory() as work:
        settings = Settings(chosen.device, chosen.tiny, work)
        for name in chosen.only or PARTS:
            parts.append(_run(name, settings, end))
            run = report(known, parts, rehearsed=chosen.tiny or chosen.device == "cpu")
            write_text(json_text(run), chosen.out / "gpu.json")
            write_text(page(json.loads(json_text(run))), chosen.out / "gpu.md")
    print((chosen.out / "gpu.md").read_text("utf-8"))
    return int(any(part.error for part in parts))


def _run(name: str, settings: Settings, end: float) -> Part:
    body, most = PARTS[name]
    left = end - time.monotonic()
    if left < FEWEST:
        return Part(name, error="no time was left")
    part = run_part(name, body, settings, limit=min(most, left))
    print(f"{name}: {part.error or 'done'} in {part.seconds:.1f} s", flush=True)
    return part


if __name__ == "__main__":
    sys.exit(main())
