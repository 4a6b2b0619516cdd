"""Processes that run the program's command line together, as a launcher starts them.

They are forked from a server that has imported all that is heavy: each starts in no time, and
knows nothing of the tests before it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

SERVER = get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "bids_synth.pipeline.group",
        "bids_synth.pipeline.score",
        "bids_synth.learn.fit.follower",
        "bids_synth.learn.fit.fit",
    ]
)
PATIENCE = 60
"""Seconds after which processes that have not ended are said to hang."""


@dataclass(frozen=True)
class Disturbance:
    """What befalls one process as it begins a call of a function for the n-th time."""

    rank: int
    where: str
    """`module:Class.method` of a function of the program."""
    nth: int
    what: int | str
    """The signal that the scheduler sends, or the message of the fault that is raised."""


@dataclass(frozen=True)
class Ended:
    """How the processes ended, the first one first."""

    codes: list[int | None]
    said: list[str]
    """Standard error."""
    printed: list[str]
    """Standard output."""


class Ranks:
    """A launcher's job: `count` processes with torchrun's variables and one command line."""

    def __init__(
        self,
        folder: Path,
        words: Sequence[object],
        *,
        count: int = 2,
        disturbed: Disturbance | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.processes = folder, []
        told, port = [str(word) for word in words], _free_port()
        for rank in range(count):
            place = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "MASTER_PORT": port}
            variables = {k: str(v) for k, v in place.items()} | {"MASTER_ADDR": "127.0.0.1"}
            own = disturbed if disturbed and disturbed.rank == rank else None
            process = SERVER.Process(target=_run, args=(told, variables, folder / f"{rank}", own))
            process.start()
            self.processes.append(process)

    def wait_until_said(self, text: str) -> None:
        """Until the first process has said this."""
        stop = time.monotonic() + PATIENCE
        place = self.folder / "0.err"
        while not (place.is_file() and text in place.read_text()):
            assert time.monotonic() < stop, f"it never said: {text}"
            time.sleep(0.05)

    def signal(self, number: int) -> None:
        """What a scheduler does to a job: every process gets the signal."""
        for process in self.processes:
            os.kill(_pid(process), number)

    def end(self) -> Ended:
        """Wait for all of them; those that hang are killed, and have the code -9."""
        for process in self.processes:
            process.join(PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()
        places = [self.folder / str(rank) for rank in range(len(self.processes))]
        said, printed = (
            [place.with_suffix(kind).read_text() for place in places] for kind in (".err", ".out")
        )
        return Ended([process.exitcode for process in self.processes], said, printed)


def alone(folder: Path, words: Sequence[object]) -> Ended:
    """One process, which no launcher has started."""
    return Ranks(folder, words, count=1).end()


def _run(
    words: list[str], variables: Mapping[str, str], place: Path, disturbed: Disturbance | None
) -> None:
    os.environ.update(variables)
    for number, kind in ((1, ".out"), (2, ".err")):
        file = os.open(place.with_suffix(kind), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
    if disturbed is not None:
        _disturb(disturbed)
    from bids_synth.cli.main import run_command

    sys.exit(run_command(words))


def _disturb(disturbed: Disturbance) -> None:
    module, _, name = disturbed.where.partition(":")
    holder: object = import_module(module)
    *outer, last = name.split(".")
    for part in outer:
        holder = getattr(holder, part)
    setattr(holder, last, _struck(getattr(holder, last), disturbed.nth, disturbed.what))


def _struck(function: Callable, nth: int, what: int | str) -> Callable:
    left = [nth]

    def call(*arguments, **options):
        left[0] -= 1
        if left[0] == 0 and isinstance(what, str):
            raise RuntimeError(what)
        if left[0] == 0:
            os.kill(os.getpid(), signal.Signals(what))
        return function(*arguments, **options)

    return call


def _pid(process: ForkServerProcess) -> int:
    assert process.pid is not None
    return process.pid


def _free_port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])
