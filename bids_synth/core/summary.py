"""RunSummary: what a run did; it alone decides the printed end and the exit code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bids_synth.errors import Problem


@dataclass(frozen=True)
class RunSummary:
    """The outcome of one run."""

    done: tuple[str, ...] = ()
    """One line for everything that was made or found up to date."""
    problems: tuple[Problem, ...] = ()
    """What failed, by visit."""
    tables: tuple[str, ...] = ()
    """Plain-text tables to print: the plan, the scores."""
    reports: tuple[Path, ...] = ()
    """HTML pages that were written."""

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, else 1."""
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
        return "\n\n".join(blocks)
