"""From arguments to exit code: 0 done, 1 some visit failed, 2 wrong usage, 70 our fault.

75: a scheduler asked the run to end, and the same command goes on; 130: the user did.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bids_synth.cli.exchange import is_exchange, run_exchange
from bids_synth.cli.habits import notes
from bids_synth.cli.parser import build_parser
from bids_synth.cli.terminal.banner import long_banner, short_banner
from bids_synth.cli.terminal.colours import painted
from bids_synth.cli.terminal.logs import shown, write_anything
from bids_synth.errors import BidsSynthError, UsageError
from bids_synth.system.durations import duration
from bids_synth.system.extras import require_extra
from bids_synth.system.os_errors import REFUSALS, explained
from bids_synth.system.signals import EX_TEMPFAIL, Preempted, obeying

if TYPE_CHECKING:
    from bids_synth.core.settings import Settings
    from bids_synth.core.summary import RunSummary

LOG = logging.getLogger("bids_synth")
EX_SOFTWARE = 70
CACHES: Mapping[str, str] = {
    "XDG_CACHE_HOME": "",
    "MPLCONFIGDIR": "matplotlib",
    "NIPYPE_CONFIG_DIR": "nipype",
    "NUMBA_CACHE_DIR": "numba",
    "TORCH_HOME": "torch",
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
    "TRITON_CACHE_DIR": "triton",
}
"""Variable -> folder, below the cache, of every library that would write into HOME."""


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line; prints the end and returns the exit code."""
    write_anything()
    return run_exchange(arguments) if is_exchange(arguments) else _run_app(arguments)


def _run_app(arguments: Sequence[str]) -> int:
    parser = build_parser()
    try:
        parsed = parser.parse_args(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    try:
        from bids_synth.cli.resolve import clean_work

        if parsed.config_file is not None:
            from bids_synth.cli.run_file import with_run_file

            parsed = with_run_file(parser, arguments, parsed)
        settings = _resolved(parsed, parser.faults)
        for line in notes(parsed, settings.nprocs):
            _say(f"bids_synth: note: {line}")
        _require_fit(settings)
        if parsed.clean_workdir:
            clean_work(settings.work)
        run = _Run(settings, parsed, arguments)
        with obeying():
            return _together(run) if settings.distributed else run.to_its_end()
    except BidsSynthError as error:
        _refuse(str(error))
        return error.exit_code
    except Preempted:
        _end_children()
        _refuse("asked to end by a signal; run the same command again to continue")
        return EX_TEMPFAIL
    except KeyboardInterrupt:
        _refuse("interrupted; run the same command again to continue")
        return 130
    except BrokenPipeError:
        raise  # Whoever read what is printed has enough.
    except REFUSALS as error:
        _refuse(explained(error))
        return 1


def _resolved(parsed: argparse.Namespace, faults: Sequence[str]) -> Settings:
    """The settings; of several processes with one command line the first says what is wrong."""
    from bids_synth.cli.resolve import resolve

    try:
        return resolve(parsed, faults)
    except UsageError as error:
        if _follows(parsed):
            raise UsageError from error
        raise


def _follows(parsed: argparse.Namespace) -> bool:
    """Whether this process is one of several with the same command line, and not the first."""
    if not parsed.distributed:
        return False
    from bids_synth.learn.fit.distributed import place_of

    with suppress(UsageError):
        return place_of(os.environ).rank > 0
    return False


def _require_fit(settings: Settings) -> None:
    if settings.level == "group" and not (settings.preproc_only or settings.boilerplate_only):
        require_extra("fit", what="group")


def _together(run: _Run) -> int:
    settings = run.settings
    contain_caches(settings.work)
    _admit(run.parsed)
    from bids_synth.learn.device import use_threads
    from bids_synth.learn.fit.follower import run_together

    use_threads(settings.omp_nthreads, most=settings.nprocs)
    return run_together(run.to_its_end, environment=os.environ, device=settings.device)


class _Run:
    """One run of either level, from its settings to its exit code."""

    def __init__(
        self, settings: Settings, parsed: argparse.Namespace, arguments: Sequence[str]
    ) -> None:
        from bids_synth.cli.terminal.logs import RunLog

        self.settings, self.parsed, self._begun = settings, parsed, False
        # A dry run leaves nothing behind in the output, not even a log.
        logs = Path(tempfile.gettempdir()) if settings.dry_run else settings.output / "logs"
        self.log = RunLog(
            logs / f"bids_synth-{settings.run_id}.log",
            verbose=parsed.verbose,
            quiet=settings.quiet,
        )
        cache = settings.work / "cache"
        self._absent = [f for f in (cache, *cache.parents) if not f.exists()]
        for line in long_banner(settings, arguments):
            LOG.debug("%s", line)

    def to_its_end(self) -> int:
        """The exit code; the end is printed, and is the last of the log."""
        began = time.monotonic()
        if not self.settings.dry_run:
            contain_caches(self.settings.work)
        code: int | None = None
        try:
            code = self._code(began)
        except BaseException as error:
            LOG.debug("stopped by %s: %s", type(error).__name__, error)
            raise
        finally:
            told = "no exit code" if code is None else f"exit code {code}"
            if not self._begun:
                self._leave_nothing()
            LOG.debug("the end, after %s, with %s", duration(time.monotonic() - began), told)
        return code

    def begin(self) -> None:
        """Called when nothing is in the way any more, before anything is written."""
        from bids_synth.cli.run_file import write_run_file

        self._begun = True
        self.settings.work.mkdir(parents=True, exist_ok=True)
        self.log.keep()
        write_run_file(self.parsed, self.settings)
        LOG.info("%s", short_banner(self.settings))

    def _leave_nothing(self) -> None:
        """Remove the caches that libraries have made for a run that was refused."""
        if not self._absent:
            return
        shutil.rmtree(self._absent[0], ignore_errors=True)
        for folder in self._absent[1:]:
            with suppress(OSError):  # Another job may have put something there meanwhile.
                folder.rmdir()

    def _code(self, began: float) -> int:
        _admit(self.parsed)
        try:
            summary = _start(self.settings, self.begin)
        except KeyboardInterrupt:
            raise
        except BidsSynthError as error:
            if self.settings.pdb and not isinstance(error, UsageError):
                _post_mortem(error)
            raise
        except Exception as error:  # noqa: BLE001
            return self._fault(error)
        _say(summary.tables[0] if self.settings.as_json else summary.text(), to=sys.stdout)
        if not (self.settings.dry_run or self.settings.quiet):
            spent = duration(time.monotonic() - began)
            _say(f"bids_synth: {summary.state} in {spent}; log: {self.log.path}")
        return summary.exit_code

    def _fault(self, error: Exception) -> int:
        """What is no user's fault: its traceback goes to the log."""
        self.log.keep()
        LOG.exception("run %s failed", self.settings.run_id)
        if self.settings.pdb:
            _post_mortem(error)
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.strerror):
            raise error
        _refuse(f"internal fault ({type(error).__name__}: {error}); see {self.log.path}")
        return EX_SOFTWARE


def _admit(parsed: argparse.Namespace) -> None:
    """Import the network that the command line, and no file, has named."""
    if parsed.own_network is not None:
        from bids_synth.learn.networks.own import admit

        admit(parsed.own_network)


def _post_mortem(error: Exception) -> None:
    import pdb

    _say(f"bids_synth: {type(error).__name__}: {error}")
    pdb.post_mortem(error.__traceback__)


def _start(settings: Settings, begin: Callable[[], None]) -> RunSummary:
    if settings.level == "group":
        from bids_synth.pipeline.group import run_group

        return run_group(settings, begin)
    from bids_synth.pipeline.participant import run_participant

    return run_participant(settings, begin)


def _end_children() -> None:
    """Steps of preparation that go on would hold this process beyond the scheduler's patience."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()


def contain_caches(work: Path) -> None:
    """Keep every cache of every library below the work directory, HOME untouched.

    Also set here, before any library reads it: threads that wait do not spin. Where another
    process takes one of the cores, spinning made a training step 25 times slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    cache = work / "cache"
    for variable, folder in CACHES.items():
        os.environ.setdefault(variable, str(cache / folder))
    os.environ.setdefault("NO_ET", "1")


def _refuse(text: str) -> None:
    if not text:
        return  # Another process says it.
    _say(f"{painted('bids_synth:', 'red', sys.stderr)} {shown(text)}", clean=True)


def _say(text: str, *, to: TextIO | None = None, clean: bool = False) -> None:
    print(text if clean else shown(text), file=to or sys.stderr, flush=True)
