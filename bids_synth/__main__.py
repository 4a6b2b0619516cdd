"""`python -m bids_synth` and the console script."""

from __future__ import annotations

import os
import sys

EX_PIPE = 141
"""Exit code of a program whose reader has gone, as a shell gives it: 128 + SIGPIPE."""


def main() -> int:
    """Run the command line of this process and return its exit code."""
    _speak_utf8()
    from bids_synth.cli.main import run_command

    try:
        code = run_command(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still held back for the reader is written to nobody, and not complained of.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_PIPE
    return code


def _speak_utf8() -> None:
    """Start this program anew with UTF-8 for names and files where the locale has another.

    Without it an umlaut in a path is half a letter, which no file in UTF-8 can hold.
    """
    if sys.getfilesystemencoding().lower() != "utf-8":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
