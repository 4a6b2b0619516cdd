"""Plan: what a run will do with every visit, and the table of `--dry-run`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bids_synth.bids.derivatives.closed_forms import computed_of
from bids_synth.core.visit import Visit
from bids_synth.recipe.recipe import Recipe

Action = Literal[
    "synthesise", "evaluate", "compute", "complete", "prepare only", "skipped",
    "training", "validation", "test", "fitted", "left out",
]  # fmt: skip
"""What a run does with a visit; of the group level the part that it has in the fit."""


@dataclass(frozen=True)
class PlanRow:
    """What will be done with one visit."""

    visit: str
    """Its label."""
    present: tuple[str, ...]
    """Modalities of the recipe that it has."""
    targets: tuple[str, ...]
    """Modalities that will be made because they are missing."""
    evaluated: tuple[str, ...]
    """Modalities that exist and will be made too, to be scored."""
    action: Action
    """The row in one word."""
    why: str
    """The reason, in one sentence."""
    computed: tuple[str, ...] = ()
    """What closed-form physics will give, without a network."""
    doubtful: tuple[str, ...] = ()
    """Targets that may be there under another name: they are neither read nor made."""

    @property
    def makes(self) -> bool:
        """True where anything is made of the visit or scored."""
        return bool(self.targets or self.evaluated or self.computed)


def plan(visits: Sequence[Visit], recipe: Recipe, *, evaluate: bool) -> list[PlanRow]:
    """One row a visit, in the order given."""
    return [_row(visit, recipe, evaluate=evaluate) for visit in visits]


def _row(visit: Visit, recipe: Recipe, *, evaluate: bool) -> PlanRow:
    present = tuple(m for m in recipe.modalities if m in visit.scans)
    sources = tuple(m for m in recipe.sources if m in visit.scans)
    missing = visit.missing(recipe.targets)
    tasks = recipe.tasks(visit.scans, visit.doubtful)
    targets = tuple(task.target for task in tasks if not task.real)
    scored = tuple(task.target for task in tasks if task.real and evaluate)
    computed = tuple(computed_of(visit, recipe))
    doubtful = tuple(m for m in recipe.targets if m in visit.doubtful)
    action, why = _reason(sources, missing, targets, scored, computed, recipe)
    if doubtful:
        text = "; ".join(f"no {m}: {visit.doubtful[m]}" for m in doubtful)
        action = "skipped" if action == "complete" else action
        why = text if action == "skipped" and sources else f"{why}; {text}"
    return PlanRow(visit.label, present, targets, scored, action, why, computed, doubtful)


def _reason(
    sources: tuple[str, ...],
    missing: tuple[str, ...],
    targets: tuple[str, ...],
    scored: tuple[str, ...],
    computed: tuple[str, ...],
    recipe: Recipe,
) -> tuple[Action, str]:
    if not sources:
        return "skipped", f"has none of the sources {', '.join(recipe.sources)}"
    if missing and not targets and not computed:
        needs = f"{recipe.name} needs {recipe.minimum} sources and it has {'+'.join(sources)}"
        return "prepare only", f"lacks {', '.join(missing)}, but {needs}"
    parts = []
    if targets:
        parts.append(f"{', '.join(targets)} from {'+'.join(sources)}")
    if scored:
        parts.append(f"scores {', '.join(scored)}, each from the others")
    if computed:
        parts.append(f"{', '.join(computed)} by closed form")
    if not parts:
        return "complete", "lacks nothing that the recipe makes"
    action: Action = "synthesise" if targets else "evaluate" if scored else "compute"
    return action, "; ".join(parts)


def format_plan(rows: Sequence[PlanRow]) -> str:
    """The rows as an aligned table with a heading and a last line that counts them.

    >>> row = PlanRow("sub-01", ("T1w",), ("T2w",), (), "synthesise", "T2w from T1w")
    >>> print(format_plan([row]))
    visit   present  action      why
    sub-01  T1w      synthesise  T2w from T1w
    1 visit: 1 synthesise
    """
    table = [("visit", "present", "action", "why")]
    table += [(r.visit, " ".join(r.present) or "-", r.action, r.why) for r in rows]
    widths = [max(len(line[column]) for line in table) for column in range(3)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, [*widths, 0], strict=True))
        for line in table
    ]
    return "\n".join([*lines, _count(rows)])


def _count(rows: Sequence[PlanRow]) -> str:
    actions = dict.fromkeys(row.action for row in rows)
    counts = [f"{sum(r.action == action for r in rows)} {action}" for action in actions]
    visits = "1 visit" if len(rows) == 1 else f"{len(rows)} visits"
    return f"{visits}: {', '.join(counts)}" if rows else "0 visits: nothing to do"
