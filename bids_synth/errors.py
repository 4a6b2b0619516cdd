"""The six ways in which a run can go wrong, each with its exit code."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class BidsSynthError(Exception):
    """A failure whose message alone tells the user what to do; never shown as a traceback."""

    exit_code = 1


class UsageError(BidsSynthError):
    """The command line, a label, a filter file or a path is wrong: nothing was started."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe has unknown, contradictory or out-of-range keys."""


class ModelError(UsageError):
    """A model folder is absent, incomplete, altered or of an unknown version."""


class FitError(BidsSynthError):
    """A fit cannot go on: its loss, its gradients or its weights are no numbers."""


class VisitError(BidsSynthError):
    """One visit cannot be prepared, synthesised or written; the others go on."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one visit."""

    visit: str
    """Label of the visit, `sub-01` or `sub-01_ses-A`."""
    message: str
    """What is wrong, which file, what was expected and what to do, in one line."""

    def __str__(self) -> str:
        return f"{self.visit}: {self.message}"


def raise_all(kind: type[BidsSynthError], problems: Sequence[str], *, intro: str) -> None:
    """Raise one error that lists every problem, or return when there is none.

    >>> raise_all(UsageError, [], intro="never shown")
    """
    if problems:
        lines = "".join("\n  - " + problem.replace("\n", "\n    ") for problem in problems)
        message = f"{intro}{lines}" if len(problems) > 1 else f"{intro} {problems[0]}"
        raise kind(message)


def did_you_mean(word: str, known: Collection[str]) -> str:
    """A question for a word that is not among those known; empty where none is near.

    >>> did_you_mean("imputee", ["impute", "mmgan"])
    '; did you mean impute?'
    >>> did_you_mean("T2W", ["T1w", "T2w"]), did_you_mean("x", ["impute"])
    ('; did you mean T2w?', '')
    >>> did_you_mean("7", ["06", "07"])
    '; did you mean 07?'
    """
    if same := [name for name in known if name.isdigit() and name.lstrip("0") == word.lstrip("0")]:
        return f"; did you mean {same[0]}?"
    names = {name.casefold(): name for name in reversed([*known])}
    near = get_close_matches(word.casefold(), names, n=1, cutoff=0.75)
    return f"; did you mean {names[near[0]]}?" if near else ""
