"""From arguments to exit code: 0 done, 1 some visit failed, 2 wrong usage, 70 our fault.

75: a scheduler asked the run to end, and the same command goes on; 130: the user did.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bids_synth.cli.exchange import is_exchange, run_exchange
from bids_synth.cli.habits import notes
from bids_synth.cli.logs import shown, write_anything
from bids_synth.cli.parser import build_parser
from bids_synth.errors import BidsSynthError, UsageError
from bids_synth.system.os_errors import REFUSALS, explained
from bids_synth.system.signals import EX_TEMPFAIL, Preempted, obeying

if TYPE_CHECKING:
    from bids_synth.core.settings import Settings
    from bids_synth.core.summary import RunSummary

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
        from bids_synth.cli.resolve import clean_work, resolve

        if parsed.config_file is not None:
            from bids_synth.cli.run_file import with_run_file

            parsed = with_run_file(parser, arguments, parsed)
        settings = resolve(parsed)
        for line in notes(parsed, settings.nprocs):
            _say(f"bids_synth: note: {line}")
        if parsed.clean_workdir:
            clean_work(settings.work)
        with obeying():
            return _together(settings, parsed) if settings.distributed else _run(settings, parsed)
    except BidsSynthError as error:
        _say(f"bids_synth: {error}")
        return error.exit_code
    except Preempted:
        _end_children()
        _say("bids_synth: asked to end by a signal; run the same command again to continue")
        return EX_TEMPFAIL
    except KeyboardInterrupt:
        _say("bids_synth: interrupted; run the same command again to continue")
        return 130
    except BrokenPipeError:
        raise  # Whoever read what is printed has enough.
    except REFUSALS as error:
        _say(f"bids_synth: {explained(error)}")
        return 1


def _together(settings: Settings, parsed: argparse.Namespace) -> int:
    contain_caches(settings.work)
    _admit(parsed)
    from bids_synth.learn.device import use_threads
    from bids_synth.learn.fit.follower import run_together

    def lead() -> int:
        return _run(settings, parsed)

    use_threads(settings.omp_nthreads, most=settings.nprocs)
    return run_together(lead, environment=os.environ, device=settings.device)


def _run(settings: Settings, parsed: argparse.Namespace) -> int:
    from bids_synth.cli.logs import start_log

    # A dry run leaves nothing behind in the output, not even a log.
    logs = Path(tempfile.gettempdir()) if settings.dry_run else settings.output / "logs"
    log_file = start_log(logs, settings.run_id, verbose=parsed.verbose)
    if not settings.dry_run:
        contain_caches(settings.work)
        from bids_synth.cli.run_file import write_run_file

        write_run_file(parsed, settings)
        text = "planning with %s GB of memory and %d threads"
        logging.getLogger("bids_synth").debug(text, settings.memory_gb, settings.nprocs)
    _admit(parsed)
    try:
        summary = _start(settings)
    except KeyboardInterrupt:
        raise
    except BidsSynthError as error:
        if settings.pdb and not isinstance(error, UsageError):
            _post_mortem(error)
        raise
    except Exception as error:
        logging.getLogger("bids_synth").exception("run %s failed", settings.run_id)
        if settings.pdb:
            _post_mortem(error)
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.strerror):
            raise
        _say(f"bids_synth: internal fault ({type(error).__name__}: {error}); see {log_file}")
        return EX_SOFTWARE
    _say(summary.tables[0] if settings.as_json else summary.text(), to=sys.stdout)
    return summary.exit_code


def _admit(parsed: argparse.Namespace) -> None:
    """Import the network that the command line, and no file, has named."""
    if parsed.own_network is not None:
        from bids_synth.learn.networks.own import admit

        admit(parsed.own_network)


def _post_mortem(error: Exception) -> None:
    import pdb

    _say(f"bids_synth: {type(error).__name__}: {error}")
    pdb.post_mortem(error.__traceback__)


def _start(settings: Settings) -> RunSummary:
    if settings.level == "group":
        from bids_synth.pipeline.group import run_group

        return run_group(settings)
    from bids_synth.pipeline.participant import run_participant

    return run_participant(settings)


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
    work.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    cache = work / "cache"
    for variable, folder in CACHES.items():
        os.environ.setdefault(variable, str(cache / folder))
    os.environ.setdefault("NO_ET", "1")


def _say(text: str, *, to: TextIO | None = None) -> None:
    print(shown(text), file=to or sys.stderr, flush=True)
