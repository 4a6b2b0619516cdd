"""Tune: the search space, what values of a recipe's keys are tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from bids_synth.recipe.sections.base import Part

Value = bool | int | float | str | tuple[Any, ...]
TUNABLE = ("network", "objective", "missing", "extras", "fit")
"""Sections that may be tuned: the others change what is scored, not how well it is fitted."""
FIXED = ("fit.test", "fit.validation", "fit.stratify", "fit.members")
"""Keys that would change the participants, or the cost of a trial without its score."""


class SearchPart(Part):
    """The values of one key: a range, or choices."""

    low: int | float | None = None
    high: int | float | None = None
    """Both ends are tried; whole numbers where both are."""
    log: bool = False
    """Try small values as densely as large ones."""
    step: int | float | None = None
    """Distance of neighbouring values, counted from `low`."""
    choices: tuple[Value, ...] = Field((), max_length=1000)
    """Values without an order; instead of a range."""

    @model_validator(mode="after")
    def _consistent(self) -> SearchPart:
        problem = self._choice_problem() if self.choices else self._range_problem()
        if problem:
            raise ValueError(problem)
        return self

    def _choice_problem(self) -> str:
        if self.low is not None or self.high is not None or self.step is not None or self.log:
            return "choices stand alone; remove low, high, step and log"
        few = len(set(map(repr, self.choices))) < max(2, len(self.choices))
        return "choices must be two or more different values" if few else ""

    def _range_problem(self) -> str:
        if self.low is None or self.high is None:
            return "expected low and high, or choices"
        if self.low >= self.high:
            return f"low {self.low} must be below high {self.high}"
        if self.log and (self.low <= 0 or self.step is not None):
            return "log needs low above 0 and no step"
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            return f"step must be above 0 and at most high - low, got {self.step}"
        return ""

    @property
    def integer(self) -> bool:
        """True where only whole numbers are tried."""
        return all(isinstance(v, int) for v in (self.low, self.high, self.step or 1))

    @property
    def extremes(self) -> tuple[Value, ...]:
        """The values that the recipe must accept for all others to be accepted."""
        return self.choices or tuple(v for v in (self.low, self.high) if v is not None)


def flat_keys(table: Any, prefix: str = "") -> Any:
    """Searches by dotted key, however the TOML file nests them.

    >>> flat_keys({"fit": {"ema": {"low": 0.9}}, "network.filters": {"choices": [8, 16]}})
    {'fit.ema': {'low': 0.9}, 'network.filters': {'choices': [8, 16]}}
    """
    if not isinstance(table, Mapping):
        return table
    flat: dict[str, Any] = {}
    for name, value in table.items():
        nested = isinstance(value, Mapping) and value
        if nested and all(isinstance(v, Mapping) for v in value.values()):
            flat |= flat_keys(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def misplaced(key: str) -> str:
    """Why a key is not for tuning; empty where it is."""
    if key.split(".")[0] in TUNABLE and key not in FIXED:
        return ""
    return (
        f"tune.{key}: is not for tuning; allowed: keys of {', '.join(TUNABLE)}, "
        f"but {', '.join(FIXED)}"
    )
