"""Columns: those of participants.tsv that a recipe asks for, by their names and in their units."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from bids_synth.core.modality import MODALITIES
from bids_synth.physics.blood import SPANS, USUAL, percentage
from bids_synth.physics.uptake import WEIGHTS
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import read_json_object

WEIGHT = "weight"
"""The column of a body's weight, kg."""
SHOWN = 5
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "Hct": ("hematocrit", "haematocrit"),
    "O2sat": ("sao2", "o2saturation", "arterialo2saturation", "oxygensaturation"),
    WEIGHT: ("bodyweight", "weightkg", "bodyweightkg", "participantweight", "mass"),
}
"""Column -> other names of it, folded."""
Rows = Mapping[str, Mapping[str, str]]


def folded(name: str) -> str:
    """A column's name without case, spaces, underscores, hyphens and dots.

    >>> folded("O2_Sat"), folded("Body Weight")
    ('o2sat', 'bodyweight')
    """
    return re.sub(r"[\s_.-]+", "", name).casefold()


def recipe_columns(
    rows: Rows, dataset: Path, recipe: Recipe, *, asked: Collection[str] = ()
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Participant -> column -> value, under the names that the recipe uses, and notes.

    Blood figures become percent, a weight kg, by the `Units` of participants.json or by the
    range; what is neither is left out, with a line. Notes tell of those who were `asked` for.
    """
    path = dataset / "participants.tsv"
    present = list(dict.fromkeys(column for row in rows.values() for column in row))
    names, notes = _names(present, _wanted(recipe))
    renamed = {
        person: {names.get(column, column): value for column, value in row.items()}
        for person, row in rows.items()
    }
    units = _units(dataset / "participants.json", names)
    if recipe.extras.closed_form:
        for name in SPANS:
            notes += _in_percent(renamed, name, units.get(name, ""), asked)
    notes += _in_kg(renamed, units.get(WEIGHT, ""), asked) if _weighs(recipe) else []
    return renamed, [f"{path}: {note}" for note in notes]


def body_weight(traits: Mapping[str, str]) -> float | None:
    """A participant's weight in g, from traits of `recipe_columns`; None where it has none."""
    try:
        return float(traits[WEIGHT]) * WEIGHTS["kg"]
    except (KeyError, ValueError):
        return None


def _weighs(recipe: Recipe) -> bool:
    pet = any(MODALITIES[m].datatype == "pet" for m in recipe.modalities)
    return pet and recipe.preparation.suvr == "none"


def _wanted(recipe: Recipe) -> list[str]:
    blood = [*SPANS] if recipe.extras.closed_form else []
    weight = [WEIGHT] if _weighs(recipe) else []
    return list(dict.fromkeys((*recipe.extras.scalars, *blood, *weight, *recipe.fit.stratify)))


def _names(present: Sequence[str], wanted: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Column of the table -> name that the recipe uses, for those that differ; and notes."""
    names: dict[str, str] = {}
    notes = []
    for want in wanted:
        spelled = [c for c in present if folded(c) == folded(want)]
        other = [c for c in present if folded(c) in _ALIASES.get(want, ())]
        meant = [want] * (want in present) + [c for c in (*spelled, *other) if c != want]
        if not meant:
            continue
        chosen, *rest = meant
        if chosen != want and chosen not in names:
            names[chosen] = want
        if chosen in other:
            notes.append(f"its column {chosen} is taken as {want}")
        if rest:
            notes.append(f"{want} is read from its column {chosen}, not from {', '.join(rest)}")
    return names, notes


def _units(path: Path, names: Mapping[str, str]) -> dict[str, str]:
    """Name that the recipe uses -> `Units` of participants.json, where it is told."""
    units: dict[str, str] = {}
    by_fold = {folded(column): want for column, want in names.items()}
    for column, entry in (read_json_object(path) or {}).items():
        unit = entry.get("Units") if isinstance(entry, dict) else None
        if isinstance(unit, str):
            units[names.get(column, by_fold.get(folded(column), _known(column)))] = unit
    return units


def _known(column: str) -> str:
    known = {folded(name): name for name in (*SPANS, WEIGHT)}
    return known.get(folded(column), column)


def _in_percent(
    rows: Mapping[str, dict[str, str]], name: str, unit: str, asked: Collection[str]
) -> list[str]:
    converted, refused = [], []
    for person, row in rows.items():
        if name not in row:
            continue
        text = row.pop(name)
        try:
            percent = percentage(name, text, unit)
        except ValueError as error:
            refused += [(person, str(error))] if not asked or person in asked else []
            continue
        row[name] = f"{percent:.10g}"
        if (not asked or person in asked) and not math.isclose(percent, _number(text)):
            converted.append(person)
    notes = []
    if converted:
        notes.append(f"{name} of {_some(converted)} is a fraction and is converted to percent")
    usual = f"the usual {USUAL[name]:g} % is taken"
    notes += [f"sub-{person}: {reason}; {usual}" for person, reason in refused[:SHOWN]]
    if len(refused) > SHOWN:
        notes.append(f"{name} of {len(refused) - SHOWN} more is no percentage either; {usual}")
    return notes


def _in_kg(rows: Mapping[str, dict[str, str]], unit: str, asked: Collection[str]) -> list[str]:
    if not any(WEIGHT in row for row in rows.values()):
        return []
    grams = WEIGHTS.get(unit.strip().lower() or "kg")
    notes, refused = [], []
    if grams is None:
        for row in rows.values():
            row.pop(WEIGHT, None)
        return [f"{WEIGHT} is not used: its unit is told as {unit.strip()[:20]!r}, not as kg"]
    for person, row in rows.items():
        value = _number(row.get(WEIGHT, "nan")) * grams / WEIGHTS["kg"]
        if math.isfinite(value) and value > 0:
            row[WEIGHT] = f"{value:.10g}"
        elif row.pop(WEIGHT, None) is not None and (not asked or person in asked):
            refused.append(person)
    if refused:
        notes.append(f"{WEIGHT} of {_some(refused)} is no positive number and is not used")
    return notes


def _number(text: str) -> float:
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError:
        return math.nan


def _some(people: Sequence[str]) -> str:
    more = f" and {len(people) - SHOWN} more" if len(people) > SHOWN else ""
    return ", ".join(f"sub-{person}" for person in people[:SHOWN]) + more
