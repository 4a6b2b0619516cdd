"""Outputs of many participants: a real one once, and others that look like it."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

LABEL = "zz"
"""The participant whose job is measured: last by name, among as many others as wanted."""
_TEXT = (".json", ".html", ".js", ".tsv")


def clone(folder: Path, label: str, target: Path, other: str) -> None:
    """A participant of a dataset once more under another label: images are links."""
    for path in sorted((folder / f"sub-{label}").rglob("*")):
        if path.is_file():
            place = path.relative_to(folder).as_posix()
            twin = target / _renamed(place, label, other)
            twin.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix in _TEXT:
                twin.write_text(_renamed(path.read_text(), label, other))
            else:
                os.link(path, twin)
    page = folder / f"sub-{label}.html"
    if page.is_file():
        (target / f"sub-{other}.html").write_text(_renamed(page.read_text(), label, other))


def _renamed(text: str, label: str, other: str) -> str:
    return re.sub(rf"sub-{label}(?![A-Za-z0-9])", f"sub-{other}", text)


def frame(folder: Path, target: Path) -> Path:
    """A dataset without participants: the files at the top of another, and its logs."""
    target.mkdir(parents=True)
    for path in folder.iterdir():
        if path.is_file() and not path.name.startswith(("sub-", "index.", "verdicts.")):
            shutil.copyfile(path, target / path.name)
    return target


def fill(output: Path, first: int, last: int) -> None:
    """Participants `first` to `last` - 1 as runs of their own leave them, but for the images.

    Each with the sidecars of two synthetic images, its page and its logs, after those of
    `LABEL`, which must be there.
    """
    (model,) = (output / f"sub-{LABEL}" / "anat").glob("*_desc-synth_*.json")
    text, page = model.read_text(), (output / f"sub-{LABEL}.html").read_text()
    content = json.loads(text)
    suffix = model.stem.rsplit("_", 1)[1]
    for number in range(first, last):
        label = f"{number:05d}"
        anat = output / f"sub-{label}" / "anat"
        anat.mkdir(parents=True)
        content["PreparationKey"] = label
        for name in (model.name, model.name.replace(f"_{suffix}.", "_T2w.")):
            renamed = _renamed(json.dumps(content), LABEL, label)
            (anat / _renamed(name, LABEL, label)).write_text(renamed)
        (output / f"sub-{label}.html").write_text(page[:1000])
        log = output / "logs" / f"20260101-000000_{number:08x}"
        log.mkdir(parents=True)
        (log / "bids_synth.toml").write_text("[run]\n")
        (output / "logs" / f"bids_synth-{log.name}.log").write_text("the end\n")


def withdraw_images(output: Path) -> None:
    """Remove the synthetic images of `LABEL`: its next job makes them again."""
    for path in (output / f"sub-{LABEL}" / "anat").glob("*_desc-synth*"):
        path.unlink()
