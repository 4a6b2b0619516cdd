"""Messages: short ones on the terminal, all of them with tracebacks in a log file."""

from __future__ import annotations

import io
import logging
import sys
from contextlib import suppress
from logging.handlers import MemoryHandler
from pathlib import Path

from bids_synth.cli.terminal.colours import painted, verdict_painted
from bids_synth.system.os_errors import explained
from bids_synth.system.progress import lines_aside

_FORMAT = "%(asctime)s %(name)s %(levelname)s: %(message)s"
_LIBRARIES = 2
"""`-vv`: from here on also what libraries say."""


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

    refused = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self.refused:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        error = sys.exc_info()[1]
        log = logging.getLogger("bids_synth")
        self.refused = True
        log.removeHandler(self)
        if isinstance(error, OSError):
            error.filename = error.filename or self.baseFilename
            log.warning("no log is kept: %s", explained(error))


class _Terminal(logging.Handler):
    """Results to standard output as they are, all else with its time to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        text, stream = self.format(record), sys.stderr
        if getattr(record, "result", False):
            line, stream = verdict_painted(text, sys.stdout), sys.stdout
        else:
            time = logging.Formatter().formatTime(record, "%H:%M:%S")
            line = f"{painted(time, 'grey', stream)} {_coloured(text, record.levelno)}"
        # Where nobody reads the messages any more, the images are wanted all the same.
        with suppress(OSError), lines_aside():
            print(line, file=stream, flush=True)


def _coloured(text: str, level: int) -> str:
    if level >= logging.ERROR:
        return painted(text, "red", sys.stderr)
    return painted(text, "yellow", sys.stderr) if level >= logging.WARNING else text


class RunLog:
    """What a run says, kept in memory until it is clear that the run begins.

    A run that is refused leaves no file; where it begins, the file has everything from the start.
    """

    def __init__(self, path: Path, *, verbose: int, quiet: bool) -> None:
        self.path = path
        self._held = MemoryHandler(10**6, logging.CRITICAL + 1, flushOnClose=False)
        self._terminal = _Terminal()
        self._terminal.setFormatter(_Shown("%(message)s"))
        least = logging.WARNING if quiet else logging.INFO
        self._terminal.setLevel(logging.DEBUG if verbose else least)
        self._terminal.addFilter(lambda record: bool(verbose) or not record.exc_info)
        log = logging.getLogger("bids_synth")
        log.handlers[:] = [self._held, self._terminal]
        log.setLevel(logging.DEBUG)
        log.propagate = False
        if verbose >= _LIBRARIES:
            logging.captureWarnings(capture=True)
            logging.getLogger().handlers[:] = log.handlers
        logging.getLogger().setLevel(logging.INFO if verbose >= _LIBRARIES else logging.WARNING)

    def keep(self) -> None:
        """Write to the file what was said, and from now on everything."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        to_file = _File(self.path, encoding="utf-8", delay=True)
        to_file.setFormatter(_Shown(_FORMAT))
        for log in (logging.getLogger("bids_synth"), logging.getLogger()):
            if self._held in log.handlers:
                log.handlers[:] = [to_file, self._terminal]
        # Only now: what cannot be written is told, and must not be held again.
        self._held.setTarget(to_file)
        self._held.flush()
