"""Fit the toys and die on the way: `python learn_kill.py FOLDER HOW NUMBER [OBJECTIVE]`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from learn_objective_toys import toy_of
from learn_toys import make_visit, minus_error, toy_split
from lightning.fabric import Fabric

from bids_synth.learn.fit import loop
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.model.model import Model

PEOPLE = "abce"


def fit_toys(
    folder: Path, objective: str = "regression", *, members: int = 2, **options: object
) -> Model:
    """Two members of three epochs on four participants; always the same."""
    prepared = [make_visit(folder / "prepared", p, shape=(20, 20, 20)) for p in PEOPLE]
    return fit_model(
        toy_of(objective, members=members),
        prepared,
        toy_split(training="abc"),
        minus_error,
        folder=folder / "models" / "toy",
        work=folder / "work",
        seed=5,
        device="cpu",
        quiet=True,
        **options,
    )


def curve(folder: Path) -> list[list[str]]:
    """training.tsv of a model folder without the two columns that are measured times.

    Weights that are equal say little by themselves: both may be those of the start.
    """
    lines = (folder / "training.tsv").read_text().splitlines()
    return [line.split("\t")[:9] for line in lines]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in(how: str, number: int) -> None:
    """Arrange a SIGKILL in the n-th step, write of a state or rename of a state."""
    left = [number]

    def over() -> bool:
        left[0] -= 1
        return left[0] == 0

    {"step": _in_step, "write": _in_write, "rename": _in_rename}[how](over)


def _in_step(over: Callable[[], bool]) -> None:
    step = loop.take_step

    def dying_step(*args):
        if over():
            die()
        return step(*args)

    loop.take_step = dying_step


def _in_write(over: Callable[[], bool]) -> None:
    save = Fabric.save

    def dying_save(self, path, *args, **options):
        save(self, path, *args, **options)
        if over():
            os.truncate(path, Path(path).stat().st_size // 2)
            die()

    Fabric.save = dying_save


def _in_rename(over: Callable[[], bool]) -> None:
    rename = os.replace

    def dying_rename(source, target):
        if str(target).endswith("state.ckpt") and over():
            die()
        rename(source, target)

    os.replace = dying_rename


if __name__ == "__main__":
    die_in(sys.argv[2], int(sys.argv[3]))
    fit_toys(Path(sys.argv[1]), *sys.argv[4:])
