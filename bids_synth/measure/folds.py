"""Folds: draw which participants fit, select and test; there is no other way to split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bids_synth.errors import UsageError, raise_all
from bids_synth.measure.strata import balanced_parts, strata_of
from bids_synth.split import Fold, Split


def draw_split(
    participants: Sequence[str],
    *,
    test: float,
    validation: float,
    folds: int,
    seed: int,
    strata: Mapping[str, Mapping[str, str]] | None = None,
    by: Sequence[str] = (),
) -> Split:
    """Divide participants (never visits) at random, the same way for the same seed.

    `test` and `validation` are fractions of all participants; a fraction above 0 gives at
    least one. With `folds` > 1 every participant outside the test validates exactly once and
    `validation` is not used. Labels may repeat (several visits) and come in any order.
    `strata` is participant -> column -> value; the parts are balanced over its columns `by`,
    and drawn plainly where it has none that tells participants apart.
    Raises UsageError with the number needed where there are too few participants.
    """
    labels = sorted(set(participants))
    _require_enough(len(labels), folds=folds, tested=test > 0)
    sizes = _sizes(len(labels), test=test, validation=validation, folds=folds)
    rng = np.random.default_rng(seed)
    if values := strata_of(labels, strata or {}, by):
        held, *parts = balanced_parts(labels, sizes, values, rng)
    else:
        order = [labels[i] for i in rng.permutation(len(labels))]
        held, others = order[: sizes[0]], order[sizes[0] :]
        parts = [others[: sizes[1]]] if folds == 1 else [others[k::folds] for k in range(folds)]
    rest = frozenset(labels) - frozenset(held)
    chosen = [frozenset(part) for part in parts[:folds]]
    return Split(frozenset(held), tuple(Fold(rest - part, part) for part in chosen))


def _sizes(total: int, *, test: float, validation: float, folds: int) -> list[int]:
    """Participants of the test, then of each fold's validation, then those only trained on."""
    held = min(_share(test, total), total - max(folds, 2)) if test > 0 else 0
    others = total - held
    if folds == 1:
        chosen = min(_share(validation, total), others - 1)
        return [held, chosen, others - chosen]
    return [held, *(others // folds + (k < others % folds) for k in range(folds))]


def check_split(split: Split, participants: Iterable[str]) -> Split:
    """The split of a user's `--split-file`, checked against the dataset's participants.

    Raises UsageError that names at once those whom the dataset lacks and those whom the
    split leaves out.
    """
    known, listed = set(participants), split.fitted | split.test
    problems = []
    if unknown := sorted(listed - known):
        problems.append(f"not among the usable participants: {_name(unknown)}; remove their rows")
    if absent := sorted(known - listed):
        problems.append(f"given no part: {_name(absent)}; add a row for each")
    raise_all(UsageError, problems, intro="--split-file: does not fit the dataset:")
    return split


def _share(fraction: float, total: int) -> int:
    return max(1, round(fraction * total))


def _require_enough(total: int, *, folds: int, tested: bool) -> None:
    if folds < 1:
        message = f"--folds {folds}: expected 1 or more"
        raise UsageError(message)
    needed = max(folds, 2) + int(tested)
    if total < needed:
        message = (
            f"{total} participant(s) have what the recipe needs; training, validation"
            f"{' and test' if tested else ''} with {folds} fold(s) need at least {needed}: add "
            "participants, or lower --folds or fit.test"
        )
        raise UsageError(message)


def _name(labels: Sequence[str]) -> str:
    return ", ".join(f"sub-{label}" for label in labels)
