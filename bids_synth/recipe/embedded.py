"""Embedded: the models that come with the package."""

from __future__ import annotations

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
