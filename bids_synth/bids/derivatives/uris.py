"""URIs: how a sidecar names its inputs, wherever the datasets lie."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def bids_uri(path: Path, output: Path, dataset: Path) -> str | None:
    """`bids::` for a file of the output, `bids:raw:` for one of the raw dataset, else None.

    >>> bids_uri(Path("/d/sub-01/anat/a.nii"), Path("/d/derivatives/x"), Path("/d"))
    'bids:raw:sub-01/anat/a.nii'
    """
    path, output, dataset = path.absolute(), output.absolute(), dataset.absolute()
    if path.is_relative_to(output):
        return f"bids::{path.relative_to(output).as_posix()}"
    if path.is_relative_to(dataset):
        return f"bids:raw:{path.relative_to(dataset).as_posix()}"
    return None


def bids_uris(paths: Iterable[Path], output: Path, dataset: Path) -> list[str]:
    """The URIs of those paths that lie in one of the two datasets, in order, each once."""
    uris = (bids_uri(path, output, dataset) for path in paths)
    return list(dict.fromkeys(uri for uri in uris if uri is not None))


def dataset_link(dataset: Path, output: Path) -> str:
    """Where a dataset is, for DatasetLinks: relative where the output is nested in it.

    >>> dataset_link(Path("/d"), Path("/d/derivatives/x"))
    '../..'
    >>> dataset_link(Path("/d"), Path("/out"))
    'file:///d'
    """
    dataset, output = dataset.absolute(), output.absolute()
    if output.is_relative_to(dataset):
        return Path(os.path.relpath(dataset, output)).as_posix()
    return dataset.as_uri()
