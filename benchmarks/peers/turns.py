"""Turns: two sides take steps by turns, and what each step of theirs takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

import psutil
import torch

from benchmarks.stages.measured import Measured


@dataclass(frozen=True)
class Spent:
    """Seconds for one sample."""

    wall: float
    processor: float
    """Of all threads and processes together."""


class Watch:
    """Notes the end of every step: what it saw, its loss, and of the outermost the clocks."""

    def __init__(self, steps: int, device: torch.device) -> None:
        self.steps, self.device = steps, device
        self.shapes: list[tuple[int, ...]] = []
        self.losses: list[torch.Tensor] = []
        self.ends: list[tuple[float, float]] = []
        """Wall and processor time at the ends of the first and of the last step, seconds."""

    def note(self, seen: torch.Tensor, loss: torch.Tensor | None = None) -> None:
        """A step that saw this tensor is over."""
        self.shapes.append(tuple(seen.shape))
        if loss is not None:
            self.losses.append(loss.detach())
        if len(self.shapes) in (1, self.steps):
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.ends.append((time.perf_counter(), processor_seconds()))

    def spent(self, samples: int) -> Spent:
        """For a sample of the steps after the first, each of so many."""
        count = samples * (self.steps - 1)
        wall, processor = ((b - a) / count for a, b in zip(*self.ends, strict=True))
        return Spent(wall, processor)


class Side(Protocol):
    """One side of a comparison, which goes on where its last turn ended."""

    samples: int
    """Of a step."""
    parameters: int
    """Numbers that learn, 0 where nothing does."""

    def run(self, steps: int, watch: Watch) -> None:
        """Take so many steps, and note the end of each."""


@dataclass(frozen=True, eq=False)
class Contest:
    """The same work by two sides."""

    title: str
    ours: Side
    theirs: Side
    more: str = ""
    """What one side does and the other does not."""
    peer: str = "the plain loop"
    unit: str = "samples"
    scale: float = 1.0
    """Of these in a sample."""


def contend(contest: Contest, device: torch.device, rounds: int, steps: int) -> Measured:
    """Let both sides take turns, and turns in going first; the row of the medians.

    The first step of a turn is not timed.
    """
    ours, theirs = contest.ours, contest.theirs
    taken: dict[Side, list[Spent]] = {ours: [], theirs: []}
    for number in range(rounds):
        for side in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            watch = Watch(steps, device)
            side.run(steps, watch)
            taken[side].append(watch.spent(side.samples))
    return _row(contest, _median(taken[ours]), _median(taken[theirs]))


def _median(turns: Sequence[Spent]) -> Spent:
    return Spent(median(t.wall for t in turns), median(t.processor for t in turns))


def _row(contest: Contest, ours: Spent, theirs: Spent) -> Measured:
    ratio, busy = theirs.wall / ours.wall, theirs.processor / max(ours.processor, 1e-9)
    rates = (contest.scale / spent.wall for spent in (ours, theirs))
    note = (
        "{:,.4g} {unit}/s, {peer} {:,.4g}: ".format(*rates, unit=contest.unit, peer=contest.peer)
        + f"{ratio:.2f} x as fast, {'ahead' if ratio >= 1 else 'behind'}; processor "
        f"{ours.processor:.3g} s against {theirs.processor:.3g} s ({busy:.2f} x)"
    )
    note += f"; {contest.more}" if contest.more else ""
    return Measured(contest.title, ours.wall, note=note, most_seconds=theirs.wall)


def processor_seconds() -> float:
    """Of this process, its threads and all its children, living or not."""
    here = psutil.Process()
    times = [here.cpu_times()]
    for child in here.children(recursive=True):
        try:
            times.append(child.cpu_times())
        except psutil.Error:  # It has ended, and counts as a child that was waited for.
            continue
    own = sum(t.user + t.system for t in times)
    return float(own + sum(t.children_user + t.children_system for t in times))
