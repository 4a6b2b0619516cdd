"""Folders: all that lies in the folders of the visits, and what cannot be looked into."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bids_synth.bids.checks.faults import home_of, is_folder
from bids_synth.bids.names import DATATYPES, IMAGES
from bids_synth.system.os_errors import denied

Key = tuple[str, str | None]
"""Participant and session of a visit."""

_ELSEWHERE = frozenset(
    ("func", "dwi", "fmap", "beh", "eeg", "ieeg", "meg", "micr", "motion", "mrs", "nirs")
)
"""Folders of BIDS in which no image of ours belongs: what is wrong with one costs no visit."""
_DEEPEST = 5
"""Levels below the dataset that are looked at: sub, ses, datatype, and one in which files hide."""
_PARTICIPANT = re.compile(r"sub([-_ ]+[a-z0-9]|[0-9])", re.IGNORECASE)
"""How folders of participants are called, as BIDS has it or nearly so."""


@dataclass
class Listing:
    """What lies in the folders of some participants, relative to the dataset."""

    dataset: Path
    """The raw dataset."""
    files: list[PurePosixPath] = field(default_factory=list)
    """Every file, and every link to one, whether or not its content is there; and folders that
    are none of BIDS."""
    problems: list[tuple[Key, str]] = field(default_factory=list)
    """Visits of which something cannot be looked at, each with the folder and why."""
    notes: list[str] = field(default_factory=list)
    """What is odd and costs nothing: empty folders, links that lead nowhere."""

    @property
    def images(self) -> list[PurePosixPath]:
        """Those files that lie and end as images of ours do."""
        return [path for path in self.files if is_placed(path)]

    def tell(self, path: PurePosixPath, words: str) -> None:
        """Keep what is wrong with a folder or a link, as a problem where an image may be there."""
        place = PurePosixPath(*_within(path))
        if place.parts and place.parts[0] in _ELSEWHERE:
            self.notes.append(f"{self.dataset / path}: {words}")
        else:
            self.problems.append((home_of(path), f"{self.dataset / path}: {words}"))


def is_placed(path: PurePosixPath) -> bool:
    """Whether a path is `sub-*/[ses-*/]<datatype>/*.nii[.gz]` of a datatype of ours."""
    within = _within(path)
    return len(within) == 2 and within[0] in DATATYPES and within[1].endswith(IMAGES)


def list_folders(dataset: Path, participants: Sequence[str] = ()) -> Listing:
    """Everything in the folders of these participants (all where empty); raises nothing for them.

    The dataset itself is listed only where no participant is named. Folders whose name has a dot
    (recordings such as `.ds` and `.zarr`) are not entered.
    """
    listing = Listing(dataset)
    for name in _asked(listing, participants) or _top(listing):
        _walk(listing, PurePosixPath(name), ())
    return listing


def _asked(listing: Listing, participants: Sequence[str]) -> list[str]:
    """Folders of participants who are named, and those that differ from them by spelling."""
    names = []
    for label in participants:
        names.append(f"sub-{label}")
        for near in (f"Sub-{label}", f"SUB-{label}", f"sub_{label}", f"sub{label}"):
            path = listing.dataset / near
            # On a disk that knows no case it is the same folder.
            if path.is_dir() and not path.samefile(listing.dataset / f"sub-{label}"):
                names.append(near)
    return names


def _top(listing: Listing) -> list[str]:
    """Folders of participants, however spelled; images that lie beside them are kept as files."""
    with os.scandir(listing.dataset) as entries:
        status = sorted((e.name, is_folder(e)) for e in entries if _PARTICIPANT.match(e.name))
    files = {n for n, folder in status if not folder and ("." in n or not n.startswith("sub-"))}
    listing.files += [PurePosixPath(name) for name in sorted(files)]
    return [name for name, _ in status if name not in files]


def _walk(listing: Listing, folder: PurePosixPath, above: tuple[tuple[int, int], ...]) -> None:
    path = listing.dataset / folder
    try:
        status = path.stat()
        if (status.st_dev, status.st_ino) in above:
            listing.tell(folder, "is a link to a folder that holds it, a circle; remove it")
            return
        if not path.is_dir():
            listing.tell(folder, "is a file, expected a folder; remove or rename it")
            return
        entries = _entries(path)
    except OSError as error:
        listing.tell(folder, _why(path, error))
        return
    if not entries and not {*folder.parts} & _ELSEWHERE:
        listing.notes.append(f"{path}: is an empty folder; fetch its content, or remove it")
    for name, enterable in entries:
        inner = folder / name
        walked = _is_walked(inner, is_folder=enterable)
        if walked:
            _walk(listing, inner, (*above, (status.st_dev, status.st_ino)))
        # A folder named T1w may hold the slices of one.
        if not walked or not _is_expected(inner):
            listing.files.append(inner)


def _entries(path: Path) -> list[tuple[str, bool]]:
    """Names in a folder but what is hidden, and which are folders, by name.

    PermissionError where it may not be entered.
    """
    if not os.access(path, os.R_OK | os.X_OK):
        raise PermissionError
    with os.scandir(path) as entries:
        return sorted((e.name, is_folder(e)) for e in entries if not e.name.startswith("."))


def _is_walked(path: PurePosixPath, *, is_folder: bool) -> bool:
    """True for a folder that is entered, and for what by its name should be one and is not."""
    if len(path.parts) > _DEEPEST or "." in path.name:
        return False
    return is_folder or _is_expected(path)


def _is_expected(path: PurePosixPath) -> bool:
    """True for what BIDS has as a folder of a session or a datatype."""
    session = len(path.parts) == 2 and path.name.startswith("ses-")
    return session or (len(_within(path)) == 1 and path.name in {*DATATYPES, *_ELSEWHERE})


def _within(path: PurePosixPath) -> tuple[str, ...]:
    """The parts of a path below the folder of its visit."""
    session = len(path.parts) > 2 and path.parts[1].startswith("ses-")
    return path.parts[2:] if session else path.parts[1:]


def locked(folder: Path) -> str | None:
    """Why a folder that is there cannot be looked into; None where it can or is not there."""
    try:
        with os.scandir(folder):
            return None
    except PermissionError as error:
        return f"{folder}: {_why(folder, error)}"
    except OSError:
        return None


def _why(path: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        remedy = "ask its owner for the right to read it, or leave the participant out"
        return f"cannot be looked into, {denied(path)}; {remedy}"
    if path.is_symlink():
        circle = "in a circle" if error.errno == errno.ELOOP else "that is not there"
        return f"is a link to a folder {circle} ({path.readlink()}); fetch, mend or remove it"
    return f"cannot be looked into ({error.strerror}); mend or remove it"
