"""Overrides: values of dotted keys put into a recipe's data."""

from __future__ import annotations

import tomllib
from typing import Any

from bids_synth.errors import RecipeError


def override(data: dict[str, Any], key: str, value: str) -> None:
    """Set a dotted key to a value spelled as in TOML, or else to the text itself."""
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value
    place(data, key, parsed)


def place(data: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key to a value; RecipeError where the key leads through a value."""
    *sections, last = key.split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            message = f"--set {key}={value}: {section} is a value, not a section"
            raise RecipeError(message)
    data[last] = value
