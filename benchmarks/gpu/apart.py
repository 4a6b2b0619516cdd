"""Apart: a part of the run in a process of its own, with a limit of time, heard while it runs.

A fault of a card spoils the process that met it, and no other.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection

import torch

from benchmarks.gpu.figure import Figure, Part, Settings

Tell = Callable[[Figure], None]
Body = Callable[[Settings, Tell], None]
LATE = "late"
FORKED = ("forked subprocess", "initialization error")
"""What torch says where a card was touched before the process was forked."""


def run_part(
    name: str, body: Body, settings: Settings, *, limit: float, method: str = "fork"
) -> Part:
    """Run a part and hear its figures; what it told before it failed or was ended is kept.

    `limit` in seconds. A forked process takes over what is imported already; one that is spawned
    needs seconds to import it again.
    """
    context = get_context(method)
    hearing, telling = context.Pipe(duplex=False)
    process = context.Process(target=_live, args=(body, settings, telling))  # type: ignore[attr-defined]
    began = time.monotonic()
    process.start()
    telling.close()
    figures: list[Figure] = []
    error = _hear(hearing, figures, began + limit)
    if error is None:
        process.join(5)
        error = f"the process ended with code {process.exitcode}"
    elif error == LATE:
        error = f"not over after {limit:.0f} s"
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # With all that it has started.
    process.kill()
    process.join()
    if method == "fork" and any(text in error for text in FORKED):
        return run_part(name, body, settings, limit=limit, method="spawn")
    return Part(name, figures, time.monotonic() - began, error)


def _hear(hearing: Connection, figures: list[Figure], end: float) -> str | None:
    """The last word of a part: empty, or why it failed; LATE, or None where it said none."""
    while (left := end - time.monotonic()) > 0:
        if not hearing.poll(left):
            break
        try:
            word = hearing.recv()
        except EOFError:
            return None
        if isinstance(word, str):
            return word
        figures.append(word)
    return LATE


def _live(body: Body, settings: Settings, telling: Connection) -> None:
    with suppress(PermissionError):
        os.setsid()
    warnings.simplefilter("ignore")
    if settings.tiny:
        torch.set_num_threads(1)
    try:
        body(settings, telling.send)
    except BaseException as error:  # noqa: BLE001 (whatever it is, it is told)
        traceback.print_exc()
        telling.send(f"{type(error).__name__}: {error}"[:500])
    else:
        telling.send("")
