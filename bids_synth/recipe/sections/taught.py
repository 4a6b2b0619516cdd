"""Taught: which keys of a recipe decide weights, and which do not."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

UNTAUGHT: Mapping[str, str] = MappingProxyType(
    {
        "name": "what the folder is called",
        "task": "words",
        "source": "words",
        "tune": "what other recipes are tried",
        "synthesis": "validation has windows of its own",
        "evaluation": "scores what is fitted already; weights are selected by one fixed score",
        "preparation.reference": "each prepared visit's key has the scan that was chosen",
        "objective.features_from": "the bytes of the file are digested beside the recipe",
        "fit.test": "the parts of the visits are digested beside the recipe",
        "fit.validation": "as fit.test",
        "fit.stratify": "as fit.test",
        "fit.preview": "a picture of the fit",
    }
)
"""Dotted key, or section, that decides no weights -> why. All others are of the fit's key."""


def without(data: Mapping[str, Any], keys: Mapping[str, str], prefix: str = "") -> dict[str, Any]:
    """A recipe's data without these dotted keys and sections.

    >>> without({"name": "x", "fit": {"test": 0.2, "ema": 0.9}}, UNTAUGHT)
    {'fit': {'ema': 0.9}}
    """
    kept = {}
    for key, value in data.items():
        dotted = f"{prefix}{key}"
        if dotted not in keys:
            nested = isinstance(value, Mapping)
            kept[key] = without(value, keys, f"{dotted}.") if nested else value
    return kept
