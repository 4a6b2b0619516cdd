"""The table of the quality benchmark: classic, modern and baselines with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bids_synth.core.catalogue import HIGHER_IS_BETTER
from bids_synth.measure.bootstrap import interval
from bids_synth.measure.table import START

SHOWN = {
    "masked3d": {"psnr": 2, "ssim": 3},
    "synthrad": {"mae": 1, "psnr": 2},
    "affine-free": {"psnr": 2, "ssim": 3},
    "slices": {"psnr": 2, "ssim": 3},
}
KINDS = ("classic", "modern")
RESAMPLES, SEED = 2000, 1
Vector = npt.NDArray[np.float64]
_HEADINGS = (
    *("task", "protocol", "metric", "n", "classic", "modern", "start", "best baseline"),
    *("classic - baseline", "modern - baseline", "modern - classic"),
)
_ABOUT = (
    "`python -m benchmarks.quality OUT {options}`: every recipe fitted for {seconds:.0f} s on two "
    "cores, grid of {spacing:g} mm, sizes of `benchmarks/tasks.py`; scored on the same test "
    "participants, on the scanner's own grid{native}. Mean +- standard error over participants "
    "[95 % bootstrap interval]; the differences are paired. `start` is the answer that the fit "
    "itself began from, `none` where it began from fresh weights: what a model gains over it was "
    "learned. It counts among the baselines, each of which has all that the start has."
)


@dataclass(frozen=True)
class Row:
    """One line of the table: a task, a protocol and a metric."""

    task: str
    protocol: str
    metric: str
    digits: int
    people: Mapping[str, pd.DataFrame]
    """`classic` and `modern` -> participant x method, the recipe itself as `model`."""

    @property
    def better(self) -> bool:
        """True where a higher value is better."""
        return HIGHER_IS_BETTER[self.metric]

    def best(self, kind: str) -> str:
        """The baseline with the best mean, as it was scored beside a recipe."""
        baselines = self.people[kind].drop(columns=["model"]).mean()
        return str(baselines.idxmax() if self.better else baselines.idxmin())

    def has_start(self, kind: str) -> bool:
        """Whether the fits of a recipe began from an answer."""
        return START in self.people[kind]

    def start(self, kind: str) -> str:
        """The answer that the fit of a recipe began from, with the kind of recipe."""
        return f"{kind} {_cell(_known(self.people[kind][START]), self.digits)}"

    def over_baseline(self, kind: str) -> Vector:
        """Paired differences of a recipe and its best baseline, one for each participant."""
        own = self.people[kind]
        return _known(own["model"] - own[self.best(kind)])

    def over_start(self, kind: str) -> Vector:
        """Paired differences of a recipe and the answer that its own fit began from."""
        return _known(self.people[kind]["model"] - self.people[kind][START])

    def over_classic(self) -> Vector:
        """Paired differences of the modern and the classic recipe."""
        return _known(self.people["modern"]["model"] - self.people["classic"]["model"])

    def is_won(self, differences: Vector) -> bool:
        """True where their mean, as printed, is on the better side: rounding wins nothing."""
        mean = round(float(differences.mean()), self.digits)
        return mean > 0 if self.better else mean < 0

    def line(self) -> str:
        """The row in Markdown."""
        means = [_cell(_known(self.people[k]["model"]), self.digits) for k in KINDS]
        baselines = [
            f"{name} {_cell(_known(self.people[k][name]), self.digits)}"
            for k, name in ((k, self.best(k)) for k in KINDS)
        ]
        differences = [*(self.over_baseline(k) for k in KINDS), self.over_classic()]
        cells = [
            *means,
            "<br>".join(dict.fromkeys(self.start(k) for k in KINDS if self.has_start(k)))
            or "none",
            "<br>".join(dict.fromkeys(baselines)),
            *(_cell(values, self.digits, sign="+") for values in differences),
        ]
        name = f"{self.metric.upper()} ({'higher' if self.better else 'lower'} is better)"
        count = str(len(self.people["modern"]))
        return f"| {' | '.join([self.task, self.protocol, name, count, *cells])} |"


def table_rows(rows: pd.DataFrame) -> Iterator[Row]:
    """The lines of the table from the tidy scores of all tasks."""
    for (task, protocol), group in rows.groupby(["task", "protocol"], sort=False):
        for metric, digits in SHOWN.get(str(protocol), {}).items():
            if group[metric].notna().any():
                # Each recipe beside baselines in its own unit and on its own grid.
                people = {
                    str(kind): own.groupby(["participant", "method"])[metric]
                    .mean()
                    .unstack("method")
                    for kind, own in group.groupby("kind")
                }
                yield Row(str(task), str(protocol), metric, digits, people)


def quality_page(
    rows: pd.DataFrame,
    *,
    title: str,
    options: str,
    seconds: float,
    spacing: float,
    notes: Path,
    native: str = "",
) -> str:
    """The Markdown page: who won, one line a task, protocol and metric, and the notes.

    `notes` is a text written by hand: what the figures do not tell. `native` says on which grids
    the scans lie.
    """
    table = list(table_rows(rows))
    spent = rows.drop_duplicates(["task", "recipe"])
    lines = [
        f"# Quality on {title}",
        "",
        _ABOUT.format(options=options, seconds=seconds, spacing=spacing, native=native),
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
    return "\n".join(lines) + "\n\n" + notes.read_text(encoding="utf-8")


def _verdicts(table: Sequence[Row]) -> Iterator[str]:
    """Which recipe won in how many lines of each task."""
    yield (
        "| task | modern beats classic | modern beats every baseline | classic beats them "
        "| modern beats its start |"
    )
    yield "|---|---|---|---|---|"
    for task in dict.fromkeys(row.task for row in table):
        own = [row for row in table if row.task == task]
        won = (
            sum(row.is_won(row.over_classic()) for row in own),
            sum(row.is_won(row.over_baseline("modern")) for row in own),
            sum(row.is_won(row.over_baseline("classic")) for row in own),
            sum(row.has_start("modern") and row.is_won(row.over_start("modern")) for row in own),
        )
        yield f"| {task} | {' | '.join(f'{count} of {len(own)} lines' for count in won)} |"


def _known(values: pd.Series) -> Vector:
    return np.asarray(values.dropna(), dtype=np.float64)


def _cell(known: Vector, digits: int, *, sign: str = "") -> str:
    mean = f"{known.mean():{sign}.{digits}f}"
    if known.size < 2:
        return mean
    low, high = interval(known, resamples=RESAMPLES, seed=SEED)
    error = known.std(ddof=1) / np.sqrt(known.size)
    ends = f"{low:{sign}.{digits}f}, {high:{sign}.{digits}f}"
    return f"{mean} +- {error:.{digits}f} [{ends}]"
