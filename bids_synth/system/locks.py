"""Locks: jobs that do the same work in the same work directory do so one after another.

Not `filelock`: its lock belongs to the open file, so that every process that is forked here holds
it too and keeps it when this one is killed. `lockf` belongs to the process.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

LOG = logging.getLogger(__name__)


@contextmanager
def exclusive(names: Collection[str], folder: Path, *, does: str) -> Iterator[None]:
    """Inside, no other job works under these names; it waits, and says so, while one does.

    `does` is the work in a word, for the message: another job `fits` fold-0 here.
    The system frees the names of a job that is killed: a lock file that is left means nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # In one order everywhere, or two jobs could wait for one another.
        for name in sorted(names):
            file = stack.enter_context((folder / f"{name}.lock").open("a"))
            _wait(file, name, does)
        yield


def _wait(file: IO[str], name: str, does: str) -> None:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        LOG.info("another job %s %s here; waiting for it", does, name)
    except OSError:
        LOG.debug("no locks on this disk; give parallel jobs work directories of their own")
        return
    else:
        return
    fcntl.lockf(file, fcntl.LOCK_EX)
