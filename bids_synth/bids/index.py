"""Index: pybids over just the folders that a job needs, in memory or in a database."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from bids.layout import BIDSLayout, BIDSLayoutIndexer
from sqlalchemy.exc import DatabaseError

from bids_synth.bids.names import pybids_grammar
from bids_synth.modality import MODALITIES

DATATYPES = tuple(sorted({m.datatype for m in MODALITIES.values()}))
IMAGES = (".nii", ".nii.gz")
_DATABASE_FILE = "layout_index.sqlite"


def index(
    dataset: Path,
    *,
    participants: Sequence[str],
    database: Path | None = None,
    wipe: bool = False,
) -> tuple[Any, tuple[str, ...]]:
    """A BIDSLayout of the images of these participants (all where empty), and warnings.

    A database is made for the whole dataset, so that later jobs can share it, and is used
    only where it knows the participants' folders as they are now: an image that an old index
    does not know would otherwise be taken for missing.
    """
    if database is None:
        return _in_memory(dataset, participants), ()
    reason: str | None
    try:
        layout = _from_database(dataset, database, wipe=wipe)
    except (DatabaseError, OSError) as error:
        reason = f"cannot be used ({str(getattr(error, 'orig', None) or error).strip()})"
    else:
        reason = _staleness(layout, dataset, participants)
    if reason is None:
        return layout, ()
    note = (
        f"--bids-database-dir {database}: {reason}; indexed in memory instead; put it on a local "
        "disk or renew it with --bids-database-wipe"
    )
    return _in_memory(dataset, participants), (note,)


class _ParticipantIndexer(BIDSLayoutIndexer):  # type: ignore[misc]
    """Walks the folders of some participants and never lists the root of the dataset.

    Ignoring the others by pattern costs 0.1 ms each, and on a network disk much more.
    """

    def __init__(self, participants: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.participants = participants

    def _index_dir(self, path: Any, *given: Any, **options: Any) -> Any:
        if str(path) != self._layout.root or not self.participants:
            return super()._index_dir(path, *given, **options)
        files: list[Any] = []
        tags: list[Any] = []
        for label in self.participants:
            more_files, more_tags = super()._index_dir(path / f"sub-{label}", *given, **options)
            files += more_files
            tags += more_tags
        return files, tags


def _indexer(participants: Sequence[str]) -> BIDSLayoutIndexer:
    wanted = "|".join(DATATYPES)
    ignore = [
        re.compile(r"^/(?!sub-)"),
        re.compile(rf"^/sub-[^/]+/(ses-[^/]+/)?(?!ses-|(?:{wanted})(?:/|$))[^/]*$"),
        re.compile(r"^(?!.*\.nii(\.gz)?$).*/[^/]*\.[^/]*$"),
    ]
    return _ParticipantIndexer(participants, validate=False, ignore=ignore, index_metadata=False)


def _in_memory(dataset: Path, participants: Sequence[str]) -> BIDSLayout:
    return BIDSLayout(
        dataset, validate=False, config=[pybids_grammar()], indexer=_indexer(participants)
    )


def _from_database(dataset: Path, database: Path, *, wipe: bool) -> BIDSLayout:
    file = database / _DATABASE_FILE
    if wipe:
        file.unlink(missing_ok=True)
    if not file.exists():
        _make_database(dataset, file)
    return BIDSLayout(dataset, validate=False, database_path=database)


def _make_database(dataset: Path, file: Path) -> None:
    """Make the index aside and rename it: parallel jobs never see half of one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".part-") as folder:
        BIDSLayout(
            dataset,
            validate=False,
            config=[pybids_grammar()],
            indexer=_indexer(()),
            database_path=folder,
            reset_database=True,
        )
        os.replace(Path(folder) / _DATABASE_FILE, file)


def _staleness(layout: BIDSLayout, dataset: Path, participants: Sequence[str]) -> str | None:
    """What the index does not know, by the names of the images: clocks of machines differ."""
    if Path(layout.root) != dataset:
        return f"is the index of {layout.root}, not of {dataset}"
    known: dict[str, set[str]] = {}
    wanted = {"subject": list(participants)} if participants else {}
    for path in layout.get(return_type="filename", **wanted):
        if path.endswith(IMAGES):
            known.setdefault(PurePath(path).relative_to(dataset).parts[0], set()).add(path)
    labels = participants or [p.name[4:] for p in dataset.glob("sub-*") if p.is_dir()]
    for label in (f"sub-{label}" for label in labels):
        if known.get(label, set()) != set(_images(dataset / label)):
            return f"has other images than {dataset / label}"
    return None


def _images(participant: Path) -> Iterator[str]:
    """The images in the folders of a participant that are indexed."""
    sessions = [p for p in participant.glob("ses-*") if p.is_dir()]
    for folder in (parent / d for parent in (participant, *sessions) for d in DATATYPES):
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            yield from (entry.path for entry in entries if entry.name.endswith(IMAGES))
