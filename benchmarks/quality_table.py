"""The table of the quality benchmark: classic, modern and baselines with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bids_synth.measure.bootstrap import interval
from bids_synth.measure.catalogue import HIGHER_IS_BETTER

SHOWN = {
    "masked3d": {"psnr": 2, "ssim": 3},
    "synthrad": {"mae": 1, "psnr": 2},
    "affine-free": {"psnr": 2, "ssim": 3},
    "slices": {"psnr": 2, "ssim": 3},
}
RESAMPLES, SEED = 2000, 1
NOTES = Path(__file__).with_name("quality_notes.md")
"""What the figures do not tell; written by hand."""
Vector = npt.NDArray[np.float64]
_HEADINGS = (
    *("task", "protocol", "metric", "n", "classic", "modern", "best baseline"),
    *("classic - baseline", "modern - baseline", "modern - classic"),
)
_ABOUT = (
    "`python -m benchmarks.quality OUT {options}`: every recipe fitted for {seconds:.0f} s on two "
    "cores, grid of {spacing:g} mm, sizes of `benchmarks/tasks.py`; scored on the same test "
    "participants. Mean over participants [95 % bootstrap interval]; the differences are paired."
)


@dataclass(frozen=True)
class Row:
    """One line of the table: a task, a protocol and a metric."""

    task: str
    protocol: str
    metric: str
    digits: int
    people: pd.DataFrame
    """Participant x method."""

    @property
    def better(self) -> bool:
        """True where a higher value is better."""
        return HIGHER_IS_BETTER[self.metric]

    @property
    def best(self) -> str:
        """The baseline with the best mean."""
        baselines = self.people.drop(columns=["classic", "modern"]).mean()
        return str(baselines.idxmax() if self.better else baselines.idxmin())

    def difference(self, one: str, other: str) -> Vector:
        """Paired differences of two methods, one for each participant."""
        return np.asarray((self.people[one] - self.people[other]).dropna(), dtype=np.float64)

    def wins(self, one: str, other: str) -> bool:
        """True where the mean of `one` is the better one."""
        mean = float(self.difference(one, other).mean())
        return mean > 0 if self.better else mean < 0

    def line(self) -> str:
        """The row in Markdown."""
        means = [np.asarray(self.people[m].dropna()) for m in ("classic", "modern", self.best)]
        cells = [_cell(values, self.digits) for values in means]
        cells[2] = f"{self.best} {cells[2]}"
        pairs = [("classic", self.best), ("modern", self.best), ("modern", "classic")]
        cells += [_cell(self.difference(*pair), self.digits, sign="+") for pair in pairs]
        name = f"{self.metric.upper()} ({'higher' if self.better else 'lower'} is better)"
        first = (self.task, self.protocol, name, str(len(self.people)))
        return f"| {' | '.join([*first, *cells])} |"


def table_rows(rows: pd.DataFrame) -> Iterator[Row]:
    """The lines of the table from the tidy scores of all tasks."""
    for (task, protocol), group in rows.groupby(["task", "protocol"], sort=False):
        for metric, digits in SHOWN.get(str(protocol), {}).items():
            if group[metric].notna().any():
                # Both recipes bring their baselines, which are equal up to the mask.
                people = group.groupby(["participant", "method"])[metric].mean().unstack("method")
                yield Row(str(task), str(protocol), metric, digits, people)


def quality_page(
    rows: pd.DataFrame, *, title: str, options: str, seconds: float, spacing: float
) -> str:
    """The Markdown page: who won, one line a task, protocol and metric, and the notes."""
    table = list(table_rows(rows))
    spent = rows.drop_duplicates(["task", "recipe"])
    lines = [
        f"# Quality on {title}",
        "",
        _ABOUT.format(options=options, seconds=seconds, spacing=spacing),
        "",
        *_verdicts(table),
        "",
        f"| {' | '.join(_HEADINGS)} |",
        "|" + "---|" * len(_HEADINGS),
        *(row.line() for row in table),
        "",
        "Steps and seconds really spent:",
        "",
        *(
            f"- {r.task}: `{r.recipe}`, {r.steps} steps a member, {r.seconds:.0f} s of fitting"
            for r in spent.itertuples()
        ),
    ]
    return "\n".join(lines) + "\n\n" + NOTES.read_text(encoding="utf-8")


def _verdicts(table: Sequence[Row]) -> Iterator[str]:
    """Which recipe won in how many lines of each task."""
    yield "| task | modern beats classic | modern beats every baseline | classic beats them |"
    yield "|---|---|---|---|"
    for task in dict.fromkeys(row.task for row in table):
        own = [row for row in table if row.task == task]
        won = (
            sum(row.wins("modern", "classic") for row in own),
            sum(row.wins("modern", row.best) for row in own),
            sum(row.wins("classic", row.best) for row in own),
        )
        yield f"| {task} | {' | '.join(f'{count} of {len(own)} lines' for count in won)} |"


def _cell(known: Vector, digits: int, *, sign: str = "") -> str:
    low, high = interval(known, resamples=RESAMPLES, seed=SEED)
    ends = f"{low:{sign}.{digits}f}, {high:{sign}.{digits}f}"
    return f"{known.mean():{sign}.{digits}f} [{ends}]"
