"""Messages: short ones on the terminal, all of them with tracebacks in a log file."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

from bids_synth.system.os_errors import explained

_FORMAT = "%(asctime)s %(name)s %(levelname)s: %(message)s"


def shown(text: str) -> str:
    r"""The text with all that a terminal would obey, or could not write, spelled out.

    >>> print(shown("a file named \x1b[2J"))
    a file named \x1b[2J
    """
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def write_anything() -> None:
    """Make what the terminal cannot write appear spelled out, rather than end the run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


class _Shown(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


class _File(logging.FileHandler):
    """A log file that, where the disk is full or another's, is told once and then done without."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        error = sys.exc_info()[1]
        log = logging.getLogger("bids_synth")
        log.removeHandler(self)
        if isinstance(error, OSError):
            error.filename = error.filename or self.baseFilename
            log.warning("no log is kept: %s", explained(error))


def start_log(folder: Path, run_id: str, *, verbose: int) -> Path:
    """Send the package's messages to the terminal and to a file in `folder`; returns it.

    The file appears with the first message. With `verbose` the terminal gets all of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"bids_synth-{run_id}.log"
    to_file = _File(path, encoding="utf-8", delay=True)
    to_file.setFormatter(_Shown(_FORMAT))
    to_terminal = logging.StreamHandler()
    to_terminal.setFormatter(_Shown("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    to_terminal.setLevel(logging.DEBUG if verbose else logging.INFO)
    to_terminal.addFilter(lambda record: bool(verbose) or not record.exc_info)
    log = logging.getLogger("bids_synth")
    log.handlers[:] = [to_file, to_terminal]
    log.setLevel(logging.DEBUG)
    log.propagate = False
    return path
