"""Split: which participants fit, select and test a model; disjoint by construction."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_synth.errors import UsageError

PARTS = ("training", "validation", "test")


@dataclass(frozen=True)
class Fold:
    """One division of the participants that are not held out for the test."""

    training: frozenset[str]
    """Participants whose visits the network sees."""
    validation: frozenset[str]
    """Participants that select the weights; where nobody does, those of the last step are kept."""


@dataclass(frozen=True)
class Split:
    """Participants (labels without `sub-`), never visits: sessions cannot fall apart."""

    test: frozenset[str]
    """Participants that only the final scores see."""
    folds: tuple[Fold, ...]
    """One fold, or several for cross-validation."""

    def __post_init__(self) -> None:
        if not self.folds:
            message = "a split needs at least one fold"
            raise ValueError(message)
        for number, fold in enumerate(self.folds):
            for one, other, names in (
                (fold.training, fold.validation, "training and validation"),
                (fold.training, self.test, "training and test"),
                (fold.validation, self.test, "validation and test"),
            ):
                if shared := sorted(one & other):
                    message = f"fold {number}: participants {shared} are in both {names}"
                    raise ValueError(message)
            if not fold.training:
                message = f"fold {number}: needs training participants"
                raise ValueError(message)

    @property
    def fitted(self) -> frozenset[str]:
        """Everybody that a model of this split has learned or been selected from."""
        return frozenset().union(*(f.training | f.validation for f in self.folds))

    @property
    def listed(self) -> frozenset[str]:
        """Everybody who has a part."""
        return self.fitted | self.test

    def part(self, participant: str, fold: int = 0) -> str | None:
        """training, validation or test; None for a stranger."""
        if participant in self.test:
            return "test"
        if participant in self.folds[fold].validation:
            return "validation"
        return "training" if participant in self.folds[fold].training else None

    def to_tsv(self) -> str:
        """One row a participant: participant_id and its part in every fold.

        >>> fold = Fold(frozenset({"1"}), frozenset({"2"}))
        >>> print(Split(frozenset({"3"}), (fold,)).to_tsv().replace(chr(9), " "), end="")
        participant_id fold-0
        sub-1 training
        sub-2 validation
        sub-3 test
        """
        names = [f"fold-{k}" for k in range(len(self.folds))]
        lines = ["\t".join(["participant_id", *names])]
        for participant in sorted(self.fitted | self.test):
            parts = [self.part(participant, k) or "n/a" for k in range(len(self.folds))]
            lines.append("\t".join([f"sub-{participant}", *parts]))
        return "\n".join(lines) + "\n"


def read_split(path: Path) -> Split:
    """Read `split.tsv` or a user's `--split-file` (columns participant_id and part or fold-K).

    Raises UsageError with every fault at once.
    """
    try:
        text = path.read_text(encoding="utf-8")
        rows = list(csv.DictReader(io.StringIO(text), delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        words = getattr(error, "strerror", None) or error
        message = f"{path}: cannot be read ({words})"
        raise UsageError(message) from error
    columns = [c for c in (rows[0] if rows else {}) if c and (c == "part" or c[:5] == "fold-")]
    if not columns or "participant_id" not in rows[0]:
        message = f"{path}: expected tab-separated columns participant_id and part (or fold-0 ...)"
        raise UsageError(message)
    try:
        return _from_rows(rows, columns)
    except ValueError as error:
        message = f"{path}: {error}"
        raise UsageError(message) from error


def _from_rows(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> Split:
    labels = [(row["participant_id"] or "").removeprefix("sub-") for row in rows]
    if repeated := sorted(label for label, count in Counter(labels).items() if count > 1):
        message = f"participants listed twice: {repeated}"
        raise ValueError(message)
    wrong = sorted({str(row[c]) for row in rows for c in columns} - {*PARTS, "n/a"})
    if wrong:
        message = f"unknown parts {wrong}; allowed: {', '.join(PARTS)}"
        raise ValueError(message)
    held = {
        label
        for label, row in zip(labels, rows, strict=True)
        if any(row[c] == "test" for c in columns)
    }

    def having(column: str, part: str) -> frozenset[str]:
        pairs = zip(labels, rows, strict=True)
        return frozenset(label for label, row in pairs if row[column] == part)

    folds = tuple(Fold(having(c, "training"), having(c, "validation")) for c in columns)
    return Split(frozenset(held), folds)
