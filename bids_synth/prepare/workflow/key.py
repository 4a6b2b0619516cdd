"""Key: what a prepared visit depends on, as one number; equal keys mean equal images."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from bids_synth.core.visit import Visit
from bids_synth.errors import VisitError
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import sha256_of

PREPARATION_VERSION = 11
"""Changes when the same inputs would give other prepared images."""


def preparation_key(visit: Visit, recipe: Recipe, *, seed: int, skull_strip: str) -> str:
    """sha256 of the scans' content, their units and of every parameter of their preparation.

    Depends on neither path, nor date, nor order. Raises VisitError for an unreadable file.
    """
    digest = hashlib.sha256()
    reference = visit.reference(recipe.reference) or ""
    parameters = recipe.preparation_parameters()
    for text in (str(PREPARATION_VERSION), parameters, str(seed), skull_strip, reference):
        digest.update(text.encode() + b"\0")
    for modality in sorted(m for m in recipe.modalities if m in visit.scans):
        scan = visit.scans[modality]
        content = f"{content_sha256(scan.path)}:{scan.conversion.key}"
        digest.update(f"{modality}:{content}\0".encode())
    if visit.brain_mask is not None:
        digest.update(f"mask:{visit.mask_of}:{content_sha256(visit.brain_mask)}\0".encode())
    return digest.hexdigest()


def content_sha256(path: Path) -> str:
    """sha256 of a file's bytes, read once as long as it stays; VisitError where it cannot be."""
    try:
        state = path.stat()
        return _sha256(path, (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}); fetch or replace the file"
        raise VisitError(message) from error


@cache
def _sha256(path: Path, state: tuple[int, ...]) -> str:  # noqa: ARG001
    return sha256_of(path)
