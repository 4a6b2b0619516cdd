"""Strata: divide participants so that site, sex and age look alike in every part."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush

import numpy as np
import numpy.typing as npt

ABSENT = ("", "n/a", "nan")
FEW = 6
"""Distinct numbers up to which a column of numbers holds codes (sites), not amounts (ages)."""
MANY = 40
"""Values of a column that are balanced; the rarest beyond count as one."""
STARTS = 4
"""Random divisions from which the exchange of participants begins; the best one is kept."""


def balanced_parts(
    labels: Sequence[str],
    sizes: Sequence[int],
    values: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
) -> list[list[str]]:
    """Divide labels into parts of these sizes, every value as frequent in each as in all.

    `values` has, for each column, one value a label (`strata_of`). Pairs of participants are
    exchanged between parts for as long as that lowers the sum over parts and values of
    (count - expected count)^2, from a few random divisions drawn from `rng`.
    """
    shown = _indicators(values)
    starts = [rng.permutation(np.repeat(np.arange(len(sizes)), sizes)) for _ in range(STARTS)]
    ends = [_exchange(part, shown, len(sizes)) for part in starts]
    part = min(ends, key=lambda part: float((_excess(part, shown, len(sizes)) ** 2).sum()))
    return [[labels[i] for i in np.flatnonzero(part == p)] for p in range(len(sizes))]


def strata_of(
    labels: Sequence[str], strata: Mapping[str, Mapping[str, str]], by: Sequence[str]
) -> dict[str, list[str]]:
    """Column -> one value a label, for the columns of `by` that tell participants apart.

    Columns are found whatever their case. Amounts are cut at their median into `low` and
    `high`; an absent value is a value of its own.

    >>> strata = {"1": {"Age": "20"}, "2": {"Age": "31.5"}, "3": {"Age": "n/a"}}
    >>> strata_of(["1", "2", "3"], strata, ["age", "sex"])
    {'age': ['low', 'high', 'n/a']}
    """
    result = {}
    for column in by:
        values = [_value(strata.get(label, {}), column) for label in labels]
        values = _pool(_cut(values))
        if len(set(values)) > 1:
            result[column] = values
    return result


def _value(row: Mapping[str, str], column: str) -> str:
    values = next((v for name, v in row.items() if name.lower() == column.lower()), "")
    text = str(values).strip()
    return "n/a" if text.lower() in ABSENT else text


def _cut(values: Sequence[str]) -> list[str]:
    known = [v for v in values if v != "n/a"]
    try:
        numbers = np.array([float(v) for v in known])
    except ValueError:
        return list(values)
    if len(set(known)) <= min(FEW, len(values) / 4):
        return list(values)
    middle = float(np.median(numbers))
    above = {
        v: "high" if number > middle else "low" for v, number in zip(known, numbers, strict=True)
    }
    return [above.get(v, v) for v in values]


def _pool(values: Sequence[str]) -> list[str]:
    """Values that next to nobody shares as one, where there are many: they cannot be balanced."""
    counts = Counter(values)
    if len(counts) <= MANY:
        return list(values)
    kept = {value for value, _ in counts.most_common(MANY - 1)}
    return [value if value in kept else "other" for value in values]


def _indicators(values: Mapping[str, Sequence[str]]) -> npt.NDArray[np.float64]:
    """Participants x values: 1 where a participant has the value."""
    columns = [np.unique(np.asarray(v), return_inverse=True)[1] for v in values.values()]
    return np.hstack([np.eye(int(codes.max()) + 1)[codes] for codes in columns])


def _excess(
    part: npt.NDArray[np.int_], shown: npt.NDArray[np.float64], parts: int
) -> npt.NDArray[np.float64]:
    """Parts x values: count minus expected count."""
    member = np.eye(parts)[part]
    excess: npt.NDArray[np.float64] = member.T @ shown - np.outer(
        member.mean(axis=0), shown.sum(axis=0)
    )
    return excess


def _exchange(
    part: npt.NDArray[np.int_], shown: npt.NDArray[np.float64], parts: int
) -> npt.NDArray[np.int_]:
    """Exchange the best pair until none lowers the sum of squares.

    Participants with the same values in the same part are interchangeable: kinds are what is
    compared, and of a kind its first participant goes.
    """
    part = part.copy()
    values, kind = np.unique(shown, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    # Where a participant lies in a heap by part and kind, the lowest number first.
    waiting: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, place in enumerate(zip(part.tolist(), kind.tolist(), strict=True)):
        waiting[place].append(number)
    excess = _excess(part, shown, parts)
    # Participants have as many values each, so |x - y|^2 is twice what they do not share.
    apart = 2 * (values[0].sum() - values @ values.T)
    while True:
        places = sorted(place for place, numbers in waiting.items() if numbers)
        mine, like = np.array(places).T
        gain = values[like] @ excess.T
        own = gain[np.arange(len(places)), mine]
        there = gain[:, mine]
        change = there + there.T - own[:, None] - own[None] + apart[np.ix_(like, like)]
        change[mine[:, None] == mine[None]] = 0.0
        i, j = np.unravel_index(int(change.argmin()), change.shape)
        if change[i, j] > -1e-9:
            return part
        first, second = heappop(waiting[places[i]]), heappop(waiting[places[j]])
        part[first], part[second] = mine[j], mine[i]
        heappush(waiting[int(mine[j]), int(like[i])], first)
        heappush(waiting[int(mine[i]), int(like[j])], second)
        moved = values[like[i]] - values[like[j]]
        excess[mine[i]] -= moved
        excess[mine[j]] += moved
