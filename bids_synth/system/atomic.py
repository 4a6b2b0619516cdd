"""Atomic: a file or folder appears by rename, complete or not at all, and leaves no parts."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bids_synth.system.os_errors import PART, naming

_SWEPT: set[Path] = set()


@contextmanager
def atomic_write(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """A file (or folder) beside `path` to write; at the end it gets that name.

    Where the inside raises, nothing is left of it and what `path` was before stays. An OSError
    that names no file names `path`. Parts of writers that were killed are removed.
    """
    with part_of(path, folder=folder) as part:
        yield part
        os.replace(part, path)


# The name by which the room of fitting still calls it.


@contextmanager
def part_of(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """A file (or folder) beside `path` to write and to rename inside; what is left is removed."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_once(path.parent)
        handle, part = _held(path, folder=folder)
        try:
            part.chmod((0o777 if folder else 0o666) & ~_umask())
            yield part
        finally:
            _remove(part)
            os.close(handle)


def sweep_once(folder: Path) -> None:
    """Remove what killed writers left in a folder; once in the life of a process."""
    if folder in _SWEPT:
        return
    _SWEPT.add(folder)
    for part in folder.glob(f"{PART}*"):
        with suppress(OSError):
            handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(part)
            finally:
                os.close(handle)


def _held(path: Path, *, folder: bool) -> tuple[int, Path]:
    """An open, locked, empty file or folder beside `path`."""
    suffix = ".nii.gz" if path.name.endswith(".nii.gz") else path.suffix
    while True:
        if folder:
            part = Path(tempfile.mkdtemp(dir=path.parent, prefix=PART))
            handle = os.open(part, os.O_RDONLY)
        else:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=PART, suffix=suffix)
            part = Path(name)
        with suppress(OSError):  # Some network disks know no locks: nobody sweeps there.
            fcntl.flock(handle, fcntl.LOCK_EX)
        if part.exists():  # Else another process has swept it before it was locked.
            return handle, part
        os.close(handle)


def _remove(part: Path) -> None:
    with suppress(OSError):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
