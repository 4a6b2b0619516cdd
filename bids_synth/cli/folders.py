"""Folders: whose they are, and where their links lead, before anything is read or written."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bids_synth.spatial.volume import stays_inside


def work_problems(work: Path, output: Path) -> list[str]:
    """Why the caches in a work directory cannot be trusted; nothing where they can.

    Steps of preparation are kept there as pickles, and whoever writes a pickle runs code in the
    process that reads it. Root may use a folder of whoever owns the output: in a container, that
    is the user who started it.
    """
    trusted = {os.geteuid(), 0}
    if os.geteuid() == 0:
        trusted.add(_existing(output).stat().st_uid)
    problems = []
    for folder in (work, work / "prepare", work / "cache"):
        if not folder.is_dir():
            continue
        status = folder.stat()
        if status.st_uid not in trusted:
            problems.append(
                f"--work-dir {work}: {folder} belongs to another user (uid {status.st_uid}), who "
                "could put code into its caches; give a folder of your own"
            )
        elif status.st_mode & stat.S_IWOTH:
            problems.append(
                f"--work-dir {work}: everybody can write to {folder} and put code into its "
                "caches; give a folder inside it, or run `chmod o-w` on it"
            )
    return problems


def link_problems(output: Path) -> list[str]:
    """One line for every link at the top of the output that leads to a folder elsewhere."""
    if not output.is_dir():
        return []
    with os.scandir(output) as entries:
        links = sorted(e.name for e in entries if e.is_symlink() and e.is_dir())
    return [
        f"output_dir {output}: {name} is a link to {(output / name).resolve()}, outside of it; "
        "results are written into the output alone: replace the link by a folder"
        for name in links
        if not stays_inside(output / name, output)
    ]


def _existing(path: Path) -> Path:
    return next(p for p in (path, *path.parents) if p.exists())
