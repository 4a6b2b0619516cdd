"""Content: whether what a file of a dataset should hold is there, as in a DataLad clone."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from bids_synth.system.os_errors import denied

_POINTER = b"/annex/objects/"
_LARGEST_POINTER = 1024


def content_fault(path: Path) -> str | None:
    """Why the content of an image that is listed is not there, None where it is."""
    try:
        return _content_fault(path)
    except PermissionError:
        return f"{path}: {denied(path)}; ask its owner for the right to read it"
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror}); replace or remove it"


def _content_fault(path: Path) -> str | None:
    fetch = f"run `datalad get {path}`, or remove the file"
    if path.is_symlink() and not path.exists():
        if _is_circle(path):
            return f"{path}: is a link in a circle ({path.readlink()}); remove or mend it"
        return f"{path}: is a link to content that is not there ({path.readlink()}); {fetch}"
    if path.stat().st_size == 0:
        return f"{path}: is empty (0 bytes), expected a NIfTI image; replace or remove it"
    if _pointer(path):
        return f"{path}: is a git-annex pointer whose content is not there; {fetch}"
    return None


def is_away(path: Path) -> bool:
    """True where a file is listed and its content must be fetched: a dead link or a pointer."""
    try:
        if path.is_symlink() and not path.exists():
            return not _is_circle(path)
        return path.is_file() and bool(_pointer(path))
    except OSError:
        return False  # What may not be read is not cured by fetching.


def size_away(path: Path) -> int:
    """Bytes that must be fetched for a file: what its git-annex key says, else 0.

    The size is a field of the key: `MD5E-s42--0f3a.nii.gz` is 42 bytes long.
    """
    if not is_away(path):
        return 0
    target = path.readlink().name if path.is_symlink() else _pointer(path)
    size = re.search(r"-s(\d+)", target.split("--")[0])
    return int(size[1]) if size else 0


def _is_circle(path: Path) -> bool:
    """True where following a link leads back to it."""
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _pointer(path: Path) -> str:
    """The text of a git-annex pointer; empty where the file is none."""
    if path.stat().st_size >= _LARGEST_POINTER:
        return ""
    content = path.read_bytes()
    return content.decode("utf-8", "replace") if content.startswith(_POINTER) else ""
