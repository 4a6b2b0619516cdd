"""Index: pybids over just the folders that a job needs, in memory or in a database."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath
from types import SimpleNamespace
from typing import Any

from bids.layout import BIDSLayout, BIDSLayoutIndexer
from sqlalchemy.exc import DatabaseError

from bids_synth.bids.names import GRAMMAR, pybids_grammar
from bids_synth.bids.raw.folders import list_folders

_DATABASE_FILE = "layout_index.sqlite"


def index(
    dataset: Path,
    *,
    participants: Sequence[str],
    images: Sequence[PurePosixPath],
    database: Path | None = None,
    wipe: bool = False,
) -> tuple[Any, tuple[str, ...]]:
    """A BIDSLayout of the images of these participants (all where empty), and warnings.

    `images` are those of `list_folders`.
    A database is made for the whole dataset, so that later jobs can share it, and is used
    only where it knows the participants' folders as they are now: an image that an old index
    does not know would otherwise be taken for missing.
    """
    if database is None:
        return _in_memory(dataset, images), ()
    reason: str | None
    try:
        layout = _from_database(dataset, database, wipe=wipe)
    except (DatabaseError, OSError) as error:
        reason = f"cannot be used ({str(getattr(error, 'orig', None) or error).strip()})"
    else:
        reason = _staleness(layout, dataset, participants, images)
    if reason is None:
        return layout, ()
    note = (
        f"--bids-database-dir {database}: {reason}; indexed in memory instead; put it on a local "
        "disk or renew it with --bids-database-wipe"
    )
    return _in_memory(dataset, images), (note,)


class _Indexer(BIDSLayoutIndexer):  # type: ignore[misc]
    """Indexes given images by their paths inside the dataset.

    pybids matches whole paths, so that a folder above the dataset named `pet` or `x_ce-y` would
    be part of every name; it stops at the first folder that may not be read, and walks in circles.
    """

    def __init__(self, images: Sequence[PurePosixPath]) -> None:
        super().__init__(validate=False, index_metadata=False)
        self.images = images

    def _index_dir(self, path: Any, grammars: Any, **_: Any) -> tuple[list[Any], list[Any]]:
        known: dict[str, Any] = {}
        for part in grammars:
            known.update(part.entities)
        inside = {name: _Inside(entity, str(path.path)) for name, entity in known.items()}
        pairs = [self._index_file(path / str(image), inside) for image in self.images]
        return [file for file, _ in pairs], [tag for _, tags in pairs for tag in tags]


class _Inside:
    """An entity of pybids that sees no more of a file than its path inside the dataset."""

    def __init__(self, entity: Any, root: str) -> None:
        self._entity = entity
        self._root = root

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entity, name)

    def match_file(self, file: Any) -> Any:
        relative = PurePath(file.path).relative_to(self._root)
        return self._entity.match_file(SimpleNamespace(path=f"/{relative.as_posix()}"))


def _in_memory(dataset: Path, images: Sequence[PurePosixPath]) -> BIDSLayout:
    return BIDSLayout(dataset, validate=False, config=[pybids_grammar()], indexer=_Indexer(images))


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
            indexer=_Indexer(list_folders(dataset).images),
            database_path=folder,
            reset_database=True,
        )
        os.replace(Path(folder) / _DATABASE_FILE, file)


def _staleness(
    layout: BIDSLayout,
    dataset: Path,
    participants: Sequence[str],
    images: Sequence[PurePosixPath],
) -> str | None:
    """What the index does not know, by the names of the images: clocks of machines differ."""
    if Path(layout.root) != dataset:
        return f"is the index of {layout.root}, not of {dataset}"
    if GRAMMAR not in layout.config:
        return "is an index of another program or version, which reads names otherwise"
    wanted = {"subject": list(participants)} if participants else {}
    known: dict[str, set[str]] = {}
    for path in layout.get(return_type="filename", **wanted):
        relative = PurePath(path).relative_to(dataset)
        known.setdefault(relative.parts[0], set()).add(relative.as_posix())
    there: dict[str, set[str]] = {}
    for image in images:
        there.setdefault(image.parts[0], set()).add(image.as_posix())
    for label in sorted(known.keys() | there.keys()):
        if known.get(label) != there.get(label):
            return f"has other images than {dataset / label}"
    return None
