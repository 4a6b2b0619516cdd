"""RunSummary: what a run did; it alone decides the printed end and the exit code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bids_synth.errors import Problem, UsageError

RESULT = {"result": True}
"""Of a log record that tells a result: it is printed as it is, and once."""


@dataclass(frozen=True)
class RunSummary:
    """The outcome of one run."""

    done: tuple[str, ...] = ()
    """What was made or found, counted."""
    problems: tuple[Problem, ...] = ()
    """What failed, by visit."""
    tables: tuple[str, ...] = ()
    """Plain-text tables to print: the plan, the scores."""
    reports: tuple[Path, ...] = ()
    """HTML pages that were written."""

    results: tuple[str, ...] = ()
    """One line for every image, each told when it was made."""

    refused: str = ""
    """Why the run of a plan would not start; empty where it would."""

    @property
    def state(self) -> str:
        """How the run ended, in a word or two.

        >>> RunSummary(problems=(Problem("sub-01", "no T1w"),)).state
        'done, but for 1 visit,'
        """
        count = len({problem.visit for problem in self.problems})
        return f"done, but for {count} visit{'s' * (count > 1)}," if count else "done"

    @property
    def exit_code(self) -> int:
        """2 for the plan of a run that would be refused; else 0 when nothing failed, or 1."""
        if self.refused:
            return UsageError.exit_code
        return 1 if self.problems else 0

    def text(self) -> str:
        """What the user sees last: tables, what was done, reports, and every failure by name.

        >>> print(RunSummary(problems=(Problem("sub-01", "no T1w"),)).text())
        1 visit failed:
          sub-01: no T1w
        """
        blocks = [*self.tables]
        if self.done:
            blocks.append("\n".join(self.done))
        if self.reports:
            lines = "\n".join(f"  {path}" for path in self.reports)
            blocks.append(f"Reports:\n{lines}")
        if self.problems:
            count = len({problem.visit for problem in self.problems})
            lines = "\n".join(f"  {problem}" for problem in self.problems)
            blocks.append(f"{count} visit{'s' * (count > 1)} failed:\n{lines}")
        if self.refused:
            blocks.append(f"the run would not start: {self.refused}")
        return "\n\n".join(blocks)
