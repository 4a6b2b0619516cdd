"""Tasks: what can be made of what a visit has, from which sources, whether real or missing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import combinations


@dataclass(frozen=True)
class Task:
    """One target of one visit from its sources."""

    target: str
    """The modality that is made."""
    sources: tuple[str, ...]
    """Modalities that it is made from, in the recipe's order, never the target itself."""
    real: bool
    """True where the visit has the target, so that it is withheld and can be scored."""

    def feasible(self, minimum: int) -> bool:
        """Whether its sources are enough."""
        return len(self.sources) >= minimum

    def without(self, withheld: Collection[str]) -> Task:
        """The same target from the other sources, be they enough or not."""
        return replace(self, sources=tuple(m for m in self.sources if m not in withheld))

    def subsets(self, minimum: int) -> Iterator[Task]:
        """The same target from every set of enough of its sources, the largest first.

        >>> [task.sources for task in Task("ct", ("T1w", "T2w"), real=True).subsets(1)]
        [('T1w', 'T2w'), ('T1w',), ('T2w',)]
        """
        for size in range(len(self.sources), minimum - 1, -1):
            yield from (replace(self, sources=s) for s in combinations(self.sources, size))


def task_of(target: str, sources: Collection[str], present: Collection[str]) -> Task:
    """A target from all of a recipe's sources that are present but itself, enough or not."""
    others = tuple(m for m in sources if m in present and m != target)
    return Task(target, others, real=target in present)


def tasks_of(
    targets: Collection[str],
    sources: Collection[str],
    present: Collection[str],
    *,
    minimum: int,
    doubtful: Collection[str] = (),
) -> tuple[Task, ...]:
    """What can be made: one task for every target that is present, or certainly missing.

    `targets` and `sources` are a recipe's, `present` the modalities of a visit, `doubtful` those
    that it may have under another name. Without `minimum` sources beside it, a target is no task.
    """
    known = (t for t in targets if t in present or t not in doubtful)
    tasks = (task_of(target, sources, present) for target in known)
    return tuple(task for task in tasks if task.feasible(minimum))
