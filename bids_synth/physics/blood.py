"""Blood: haematocrit and arterial saturation in %, from how laboratories write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bids_synth.core.units import canonical

HCT, O2SAT = 42.0, 98.0
"""Haematocrit and arterial saturation, %, of participants whose own are not known."""
USUAL: Mapping[str, float] = MappingProxyType({"Hct": HCT, "O2sat": O2SAT})
SPANS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"Hct": (20.0, 70.0), "O2sat": (50.0, 100.0)}
)
"""Figure -> values, %, with which a human being lies in a scanner. A hundredth of them is a
fraction; the two never meet."""


@dataclass(frozen=True)
class BloodFigure:
    """A figure of a participant's blood."""

    percent: float
    """In %."""
    measured: bool
    """True where it is the participant's own, False where it is the usual one."""


def percentage(name: str, text: str, unit: str = "") -> float:
    """`Hct` or `O2sat` in % from the cell of a table; `unit` is that of its column, if told.

    Without a unit the range decides between percent and fraction. ValueError for what is
    neither.

    >>> percentage("Hct", "0.457"), percentage("Hct", "45.7"), percentage("O2sat", "1")
    (45.7, 45.7, 100.0)
    """
    cell = text.strip()
    kind = canonical(unit)
    if cell.endswith("%"):
        cell, kind = cell.removesuffix("%").strip(), "%"
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    for factor in _factors(kind):
        percent = round(factor * value, 9)
        if SPANS[name][0] <= percent <= SPANS[name][1]:
            return percent
    low, high = SPANS[name]
    words = f", told as {kind}" if kind in _TOLD else ""
    message = f"{name} {text.strip()[:20]} is no percentage (expected {low:g} to {high:g}{words})"
    raise ValueError(message)


def blood_figure(name: str, traits: Mapping[str, str]) -> BloodFigure:
    """`Hct` or `O2sat` of a participant; the usual one where its own is not known or cannot be."""
    try:
        return BloodFigure(percentage(name, traits[name]), measured=True)
    except (KeyError, ValueError):
        return BloodFigure(USUAL[name], measured=False)


_TOLD = {"%": (1.0,), "fraction": (100.0,), "ml/ml": (100.0,), "ml/100ml": (1.0,)}


def _factors(kind: str) -> tuple[float, ...]:
    return _TOLD.get(kind, (1.0, 100.0))
