"""Output spaces: `--output-spaces` to templates that are there, before anything is started."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from bids_synth.core.settings import OutputSpace
from bids_synth.errors import did_you_mean

NATIVE = ("native", "anat", "T1w")
"""Names of the reference scan's own grid."""
EMBEDDED = "MNI152NLin2009aSym"
"""`bids_synth.spatial.template.SPACE`, told here so that no array library is loaded (a test)."""
RESOLUTIONS = ("1", "2")
"""Voxel sizes, mm, of the embedded template; TemplateFlow's labels for others."""


def output_spaces(names: Sequence[str], problems: list[str]) -> tuple[OutputSpace, ...]:
    """The templates among `SPACE[:res-N]`; a line in `problems` for each that is not there."""
    spaces: list[OutputSpace] = []
    for text in names:
        name, *modifiers = text.split(":")
        if name in NATIVE and not modifiers:
            continue
        space = _space(text, name, modifiers, problems)
        if space is not None and space not in spaces:
            spaces.append(space)
    return tuple(spaces)


def templateflow_home() -> Path:
    """Where TemplateFlow keeps what was fetched; nothing is ever fetched from here.

    Read as files: importing its client would unpack a skeleton of empty files there.
    """
    home = Path(os.environ.get("TEMPLATEFLOW_HOME") or "~/.cache/templateflow")
    try:
        return home.expanduser()
    except RuntimeError:  # A container may run as a user that has no HOME.
        return home


def _space(
    text: str, name: str, modifiers: Sequence[str], problems: list[str]
) -> OutputSpace | None:
    matches = [re.fullmatch(r"res-(\w+)", modifier) for modifier in modifiers] or [None]
    resolution = matches[0][1] if matches[0] else "1"
    if len(modifiers) > 1 or (modifiers and not matches[0]) or resolution not in RESOLUTIONS:
        allowed = " or ".join(f"{name}:res-{n}" for n in RESOLUTIONS)
        problems.append(f"--output-spaces {text}: expected {allowed}")
        return None
    if name == EMBEDDED:
        return OutputSpace(name, resolution)
    image = _file(name, resolution, "T1w")
    mask = _file(name, resolution, "desc-brain_mask")
    if image is None or mask is None:
        problems.append(f"--output-spaces {text}: {_what_is_there(name, resolution)}")
        return None
    return OutputSpace(name, resolution, image, mask)


def _file(name: str, resolution: str, what: str) -> Path | None:
    """A file of TemplateFlow whose content is there; an entry without content is no file."""
    if not re.fullmatch(r"[A-Za-z0-9]+", name):
        return None
    folder = templateflow_home() / f"tpl-{name}"
    for label in (resolution.zfill(2), resolution):
        path = folder / f"tpl-{name}_res-{label}_{what}.nii.gz"
        if path.is_file() and path.stat().st_size > 0:
            return path
    return None


def _what_is_there(name: str, resolution: str) -> str:
    home = templateflow_home()
    installed = {
        f"{folder.name.removeprefix('tpl-')}:res-{n}"
        for folder in (home.glob("tpl-*") if home.is_dir() else ())
        for n in RESOLUTIONS
        if all(_file(folder.name[4:], n, w) for w in ("T1w", "desc-brain_mask"))
    }
    known = ["native", *(f"{EMBEDDED}:res-{n}" for n in RESOLUTIONS), *sorted(installed)]
    return (
        f"is not on this machine, and nothing is downloaded; there is: {', '.join(known)}"
        f"{did_you_mean(name, [EMBEDDED, *(k.partition(':')[0] for k in installed)])}; put "
        f"tpl-{name}_res-{resolution.zfill(2)}_T1w.nii.gz and its brain mask into "
        f"{home}/tpl-{name} (TEMPLATEFLOW_HOME) to use it"
    )
