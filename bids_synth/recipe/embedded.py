"""Embedded: the models that come with the package, and models that lie elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

EMBEDDED = Path(__file__).parents[1] / "models"
"""Where they lie."""
DEFAULT = "any-contrast"
"""The one that is used where a dataset has no model of its own."""
STANDS_FOR = "impute"
"""The recipe whose tasks it has, and that of a run that names none."""


def embedded_models() -> dict[str, Path]:
    """Name -> folder.

    >>> DEFAULT in embedded_models()
    True
    """
    folders = (path.parent for path in sorted(EMBEDDED.glob("*/recipe.toml")))
    return {folder.name: folder for folder in folders}


def fetch_hint(model: str) -> str:
    """What to do where a model is named by an address of the network; empty for other names.

    >>> fetch_hint("any-contrast"), fetch_hint("models/mine")
    ('', '')
    >>> fetch_hint("https://example.org/mine.zip").partition(":")[0]
    'nothing is ever downloaded'
    """
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]+:(//)?[^\\/]", model):
        return ""
    return (
        "nothing is ever downloaded: fetch it yourself (curl -LO ...), compare its sha256 with "
        "that of its authors, unpack it, and give the folder"
    )
