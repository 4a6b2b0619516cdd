"""Folds: draw which participants fit, select and test; there is no other way to split."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from bids_synth.core.split import Fold, Split
from bids_synth.errors import UsageError, raise_all
from bids_synth.learn.split.places import groups_of, place_of, repaired
from bids_synth.learn.split.strata import balanced_parts, strata_of


def draw_split(
    participants: Sequence[str],
    *,
    test: float,
    validation: float,
    folds: int,
    seed: int,
    strata: Mapping[str, Mapping[str, str]] | None = None,
    by: Sequence[str] = (),
    having: Mapping[str, Collection[str]] | None = None,
) -> Split:
    """Divide participants (never visits), each by its own label and the seed.

    `test` and `validation` are fractions of all participants, kept as nearly as independent
    draws of neighbouring numbers allow (`place_of`); a fraction above 0 gives at least one, and
    one of 0 nobody. With `folds` > 1 every participant outside the test validates exactly once
    and `validation` is not used. Labels may repeat (several visits) and come in any order.

    The law: a participant's part depends on nobody else. It yields only where a part would be
    empty, or would lack a modality that enough participants have (`having`: participant ->
    modalities): then as few as that takes are moved into it, by `repaired`. Adding or removing
    participants thus moves nobody wherever no part hangs on them.

    `strata` is participant -> column -> value; where `by` names columns that tell participants
    apart, the parts are balanced over them instead, which only all participants together decide.
    Raises UsageError with the number needed where there are too few participants.
    """
    labels = sorted(set(participants))
    judged = folds > 1 or validation > 0
    _require_enough(len(labels), folds=folds, tested=test > 0, judged=judged)
    if values := strata_of(labels, strata or {}, by):
        sizes = _sizes(len(labels), test=test, validation=validation, folds=folds)
        drawn = balanced_parts(labels, sizes, values, np.random.default_rng(seed))
        parts = {label: number for number, part in enumerate(drawn) for label in part}
    else:
        ends = _ends(test=test, validation=validation, folds=folds)
        parts = {label: bisect_right(ends, place_of(label, seed)) for label in labels}
    order = _order(folds, tested=test > 0, judged=judged)
    parts = repaired(parts, groups_of(labels, having or {}), order, seed)
    return _split_of(parts, folds)


def _ends(*, test: float, validation: float, folds: int) -> list[float]:
    """Where the parts end between 0 and 1: the test, then validation or the folds."""
    if folds == 1:
        return [test, test + validation]
    return [test, *(test + (1 - test) * (k + 1) / folds for k in range(folds - 1))]


def _order(folds: int, *, tested: bool, judged: bool) -> list[int]:
    """The numbers of the parts, those first without which nothing can be fitted."""
    first = [1, 2] if folds > 1 else [2, 1] if judged else [2]
    return [*first, *([0] if tested else []), *range(3, folds + 1)]


def _split_of(parts: Mapping[str, int], folds: int) -> Split:
    def having(number: int) -> frozenset[str]:
        return frozenset(label for label, part in parts.items() if part == number)

    held = having(0)
    rest = frozenset(parts) - held
    chosen = [having(1)] if folds == 1 else [having(k + 1) for k in range(folds)]
    return Split(held, tuple(Fold(rest - part, part) for part in chosen))


def shortages(split: Split, having: Mapping[str, Collection[str]]) -> list[str]:
    """One line for each modality that some part of the split lacks.

    `having` is participant -> modalities; participants without a part do not count.
    """
    lines = []
    for modality in sorted({m for present in having.values() for m in present}):
        people = {p for p, present in having.items() if modality in present}
        parts = {"test": split.test} if split.test else {}
        for number, fold in enumerate(split.folds):
            text = f" of fold {number}" if len(split.folds) > 1 else ""
            parts |= {f"training{text}": fold.training}
            parts |= {f"validation{text}": fold.validation} if fold.validation else {}
        counts = {name: len(part & people) for name, part in parts.items()}
        if lacking := [name for name, count in counts.items() if not count]:
            lines.append(
                f"{modality}: {len(people)} participant(s) have it, none in {', '.join(lacking)}"
            )
    return lines


def _sizes(total: int, *, test: float, validation: float, folds: int) -> list[int]:
    """Participants of the test, then of each fold's validation, then those only trained on."""
    needed = max(folds, 2 if validation > 0 else 1)
    held = min(_share(test, total), total - needed) if test > 0 else 0
    others = total - held
    if folds == 1:
        chosen = min(_share(validation, total), others - 1) if validation > 0 else 0
        return [held, chosen, others - chosen]
    return [held, *(others // folds + (k < others % folds) for k in range(folds))]


def check_split(split: Split, participants: Iterable[str]) -> tuple[Split, list[str]]:
    """A user's `--split-file` without strangers, and what there is to say of them.

    A split of the whole dataset serves a part of it. Raises UsageError that names those whom
    the split leaves out, and where nobody is left to fit or to validate.
    """
    known = set(participants)
    if absent := sorted(known - split.listed):
        message = (
            f"--split-file: does not fit the dataset: given no part: {_name(absent)}; add a row "
            "for each"
        )
        raise UsageError(message)
    strangers = sorted(split.listed - known)
    try:
        kept = Split(
            split.test & known,
            tuple(Fold(f.training & known, f.validation & known) for f in split.folds),
        )
    except ValueError as error:
        message = f"--split-file: of the participants that the recipe can use, {error}"
        raise UsageError(message) from error
    for number, (fold, left) in enumerate(zip(split.folds, kept.folds, strict=True)):
        if fold.validation and not left.validation:
            message = (
                f"--split-file: fold {number}: nobody of its validation can be used: "
                f"{_name(sorted(fold.validation))}"
            )
            raise UsageError(message)
    text = f"--split-file: no visit of {_name(strangers)} can be used; their rows are passed over"
    return kept, [text] if strangers else []


def check_prepared(split: Split, prepared: Iterable[str]) -> None:
    """Raise UsageError where nobody of a part that the fit needs could be prepared."""
    known = set(prepared)
    problems = []
    for number, fold in enumerate(split.folds):
        for name, part in (("training", fold.training), ("validation", fold.validation)):
            if part and not part & known:
                problems.append(f"{name} of fold {number}: {_name(sorted(part))}")
    if split.test and not split.test & known:
        problems.append(f"test: {_name(sorted(split.test))}")
    raise_all(
        UsageError,
        problems,
        intro="no participant of a part of the split can be used; mend what is named of their "
        "visits, or give another --split-file:",
    )


def _share(fraction: float, total: int) -> int:
    return max(1, round(fraction * total))


def _require_enough(total: int, *, folds: int, tested: bool, judged: bool) -> None:
    if folds < 1:
        message = f"--folds {folds}: expected 1 or more"
        raise UsageError(message)
    needed = max(folds, 1 + int(judged)) + int(tested)
    if total < needed:
        message = (
            f"{total} participant(s) have what the recipe needs; "
            f"{_listed(folds=folds, tested=tested, judged=judged)} need at least {needed}: add "
            "participants, or lower --folds, fit.test or fit.validation"
        )
        raise UsageError(message)


def _name(labels: Sequence[str]) -> str:
    return ", ".join(f"sub-{label}" for label in labels)


def _listed(*, folds: int, tested: bool, judged: bool) -> str:
    """The parts in words.

    >>> _listed(folds=1, tested=True, judged=True)
    'training, validation and test with 1 fold(s)'
    """
    names = ["training", *(["validation"] if judged else []), *(["test"] if tested else [])]
    parts = ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
    return f"{parts} with {folds} fold(s)"
