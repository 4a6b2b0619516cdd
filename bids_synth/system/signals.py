"""Signals: a scheduler asks this process to end, and the same command goes on later."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

EX_TEMPFAIL = 75
"""Exit code of a run that was asked to end: start the same command again."""
ENDING = (signal.SIGTERM, signal.SIGUSR1)
"""What SLURM sends before it ends or requeues a job, and by `--signal=USR1@SECONDS`."""


class Preempted(KeyboardInterrupt):
    """The scheduler asked the run to end; what is finished is kept."""


@dataclass
class _State:
    owner: int = 0
    """The process that obeys; 0 where none does. Its children inherit the handlers."""
    asked: bool = False
    held: bool = False


_STATE = _State()


@contextmanager
def obeying() -> Iterator[None]:
    """Inside, the signals raise Preempted in this process; afterwards all is as it was.

    Children ignore SIGUSR1, which is sent to all processes of a job at once, and end by SIGTERM.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    _STATE.owner, _STATE.asked, _STATE.held = os.getpid(), False, False
    for number in ENDING:
        signal.signal(number, _obey)
    try:
        yield
    finally:
        _STATE.owner, _STATE.asked = 0, False
        for number, handler in before.items():
            signal.signal(number, handler)


def asked() -> bool:
    """True once the scheduler has asked."""
    return _STATE.asked


@contextmanager
def held() -> Iterator[None]:
    """What is inside is not interrupted: `asked` tells, and Preempted is raised at its end."""
    with _set_held(held=True):
        yield
    if _STATE.asked and not _STATE.held:
        raise Preempted


@contextmanager
def released() -> Iterator[None]:
    """Inside `held`, a part that may be interrupted after all."""
    with _set_held(held=False):
        if _STATE.asked:
            raise Preempted
        yield


@contextmanager
def _set_held(*, held: bool) -> Iterator[None]:
    before, _STATE.held = _STATE.held, held
    try:
        yield
    finally:
        _STATE.held = before


def _obey(number: int, _: FrameType | None) -> Any:
    if os.getpid() != _STATE.owner:
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        return
    _STATE.asked = True
    if not _STATE.held:
        raise Preempted
