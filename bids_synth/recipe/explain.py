"""Explain: a fault of a recipe in plain words: the key, what was expected, what is near."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from bids_synth.errors import did_you_mean
from bids_synth.recipe.sections.network import NetworkPart
from bids_synth.recipe.sections.objective import ObjectivePart
from bids_synth.recipe.sections.tune import SearchPart

_UNIONS = {"network": NetworkPart, "objective": ObjectivePart}
_TAGS = {
    str(kind.model_fields["name"].default): kind
    for union in _UNIONS.values()
    for kind in get_args(get_args(union)[0])
}
"""Name of every network and objective -> the part that holds its keys."""
_SECTIONS = ("model_type", "dict_type", "model_attributes_type")
_PLAIN = (
    (r"^Value error, ", ""),
    (r"^Input should be a valid integer\b.*", "expected a whole number"),
    (r"^Input should be a valid number\b.*", "expected a number"),
    (r"^Input should be a valid boolean\b.*", "expected true or false"),
    (r"^Input should be a valid string\b.*", "expected text"),
    (r"^Input should be a valid (tuple|list)\b.*", "expected a list in brackets"),
    (r"^Input should be greater than or equal to ", "expected at least "),
    (r"^Input should be less than or equal to ", "expected at most "),
    (r"^Input should be ", "expected "),
)
"""What the library says -> what a user of a recipe is told."""


def explained(fault: Mapping[str, Any], whole: type[BaseModel]) -> str:
    """One line for one fault as pydantic describes it; `whole` is the model of a recipe."""
    place, kind = fault["loc"], str(fault["type"])
    where = [part for part in place if part not in _TAGS]
    if kind == "extra_forbidden":
        allowed = _allowed(place, whole)
        meant = did_you_mean(str(place[-1]), allowed)
        return f"{_key(where)}: unknown key; allowed: {', '.join(allowed)}{meant}"
    if kind == "union_tag_invalid":
        known = [name for name in _TAGS if f"'{name}'" in fault["msg"]]
        given = str(fault["ctx"]["tag"])
        text = f"{_key([*where, 'name'])}: {given} is none of {', '.join(known)}"
        return text + did_you_mean(given, known)
    if kind == "union_tag_not_found":
        return f"{_key(where)}: has no name; set {_key([*where, 'name'])}"
    if kind in _SECTIONS:
        keys = [] if place[0] == "tune" else _allowed((*place, ""), whole)
        return _no_section(where, fault["input"], keys)
    text = str(fault["msg"])
    for pattern, plain in _PLAIN:
        text = re.sub(pattern, plain, text)
    # What is wrong with the recipe as a whole is not told by showing the whole of it.
    return f"{_key(where)}: {text}{_given(fault['input'])}" if place else text


def _no_section(where: Sequence[Any], given: Any, keys: Sequence[str]) -> str:
    name = _key(where)
    key = "name" if name in _UNIONS else next(iter(keys), "")
    text = f"{name}: is a section, not a value{_given(given)}"
    return f"{text}; set one of its keys, such as {name}.{key}" if key else text


def _given(value: Any) -> str:
    """What was given, where that is one value and no structure."""
    return f", got {value!r:.80}" if isinstance(value, str | int | float) else ""


def _key(where: Sequence[Any]) -> str:
    return ".".join(map(str, where)) or "recipe"


def _allowed(place: tuple[Any, ...], whole: type[BaseModel]) -> list[str]:
    """The keys that may stand where the last part of a place is."""
    if place[0] == "tune":
        return list(SearchPart.model_fields)
    part = whole
    for name in place[:-1]:
        kind = _TAGS.get(name)
        field = part.model_fields.get(str(name))
        inner = field.annotation if field else None
        if kind is not None:
            part = kind
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            part = inner
        elif name not in _UNIONS:
            return []
    return [field.alias or name for name, field in part.model_fields.items()]
