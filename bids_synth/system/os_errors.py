"""Machine: what disks and memory refuse, told so that the user knows what to do."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bids_synth.errors import VisitError

REFUSALS = (OSError, MemoryError)
"""What is raised where a disk or the memory does not give what was asked for."""
PART = ".part-held-"
"""How the names of unfinished files begin: their writer holds a lock on them while it lives."""
MORE_MEMORY = "give the job more memory, or use fewer --nprocs, a lower --mem, or --low-mem"
MORE_SPACE = "free some space there or give another output_dir or --work-dir, and run again"
_TO_DO = {
    errno.ENOSPC: f"the disk is full; {MORE_SPACE}",
    errno.EDQUOT: f"the quota of the disk is used up; {MORE_SPACE}",
    errno.EFBIG: f"the file is larger than is allowed here; {MORE_SPACE}",
    errno.EROFS: "the disk is read-only; give another output_dir or --work-dir",
    errno.EMFILE: "too many files are open; raise the limit (`ulimit -n`), or use fewer --nprocs",
    errno.ENFILE: "too many files are open on this machine; run again later",
    errno.ENOMEM: f"out of memory; {MORE_MEMORY}",
    errno.EIO: "the disk failed; check it, and run again",
    errno.ESTALE: "the network disk lost the file; run again",
}


def explained(error: OSError | MemoryError) -> str:
    """The place, what was refused there and what to do, in one line."""
    if isinstance(error, MemoryError):
        return f"out of memory; {MORE_MEMORY}"
    # Of a copy that failed, the second name is the place that was written to.
    full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
    name = (full and error.filename2) or error.filename
    place = f"{name}: " if name else ""
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{place}permission denied{_owner(error.filename)}; give a folder of your own"
    return place + _TO_DO.get(error.errno or 0, error.strerror or " ".join(str(error).split()))


def denied(path: Path) -> str:
    """`permission denied`, with who owns what is there, its rights and who asks."""
    me = _user(os.geteuid())
    for there in (path, *path.parents):
        try:
            status = there.stat()
        except OSError:
            continue
        whose = "you" if status.st_uid == os.geteuid() else _user(status.st_uid)
        which = "it" if there == path else str(there)
        mode = stat.filemode(status.st_mode)
        return f"permission denied ({which} belongs to {whose}, {mode}; you are {me})"
    return f"permission denied (you are {me})"


@contextmanager
def visit_fails() -> Iterator[None]:
    """What the machine refuses inside becomes a VisitError: that visit fails, others go on."""
    try:
        yield
    except REFUSALS as error:
        raise VisitError(explained(error)) from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError from inside that names no file, or an unfinished one, names this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None or PART in str(error.filename):
            error.filename = str(path)
        raise


def _user(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name}, uid {uid}"
    except KeyError:
        return f"uid {uid}"


def _owner(name: object) -> str:
    """Whose the file is, or the nearest folder that is there, where it is another user's."""
    if not isinstance(name, str):
        return ""
    path = Path(name)
    try:
        status = next((p for p in (path, *path.parents) if p.exists()), None)
        uid = status.stat().st_uid if status else os.geteuid()
    except OSError:
        return ""
    return (
        "" if uid == os.geteuid() else f" ({status} belongs to uid {uid}, you are {os.geteuid()})"
    )
