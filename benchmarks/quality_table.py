"""The table of the quality benchmark: classic, modern and baselines with intervals."""

from __future__ import annotations

import numpy as np
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
_HEADINGS = (
    *("task", "protocol", "metric", "n", "classic", "modern", "best baseline"),
    *("classic - baseline", "modern - baseline", "modern - classic"),
)
_ABOUT = (
    "Every recipe fitted for {seconds:.0f} s on two cores, grid of {spacing:g} mm, sizes of "
    "`benchmarks/tasks.py`; scored on the same test participants. Mean over participants "
    "[95 % bootstrap interval]; the differences are paired."
)


def quality_page(rows: pd.DataFrame, *, title: str, seconds: float, spacing: float) -> str:
    """The Markdown page: one line a task, protocol and metric."""
    lines = [
        f"# Quality on {title}",
        "",
        _ABOUT.format(seconds=seconds, spacing=spacing),
        "",
        f"| {' | '.join(_HEADINGS)} |",
        "|" + "---|" * len(_HEADINGS),
    ]
    for (task, protocol), group in rows.groupby(["task", "protocol"], sort=False):
        for metric, digits in SHOWN.get(str(protocol), {}).items():
            if group[metric].notna().any():
                lines.append(_line(str(task), str(protocol), metric, group, digits))
    lines += ["", "Steps and seconds really spent:", ""]
    spent = rows.drop_duplicates(["task", "recipe"])
    lines += [
        f"- {r.task}: `{r.recipe}`, {r.steps} steps a member, {r.seconds:.0f} s of fitting"
        for r in spent.itertuples()
    ]
    return "\n".join(lines) + "\n"


def _line(task: str, protocol: str, metric: str, group: pd.DataFrame, digits: int) -> str:
    # Both recipes bring their baselines; on equal visits they are equal up to the mask.
    people = group.groupby(["participant", "method"])[metric].mean().unstack("method")
    better = HIGHER_IS_BETTER[metric]
    baselines = people.drop(columns=["classic", "modern"]).mean()
    best = baselines.idxmax() if better else baselines.idxmin()
    cells = [
        _cell(people["classic"], digits),
        _cell(people["modern"], digits),
        f"{best} {_cell(people[best], digits)}",
        _cell(people["classic"] - people[best], digits, sign="+"),
        _cell(people["modern"] - people[best], digits, sign="+"),
        _cell(people["modern"] - people["classic"], digits, sign="+"),
    ]
    name = f"{metric.upper()} ({'higher' if better else 'lower'} is better)"
    return f"| {task} | {protocol} | {name} | {len(people)} | {' | '.join(cells)} |"


def _cell(values: pd.Series, digits: int, *, sign: str = "") -> str:
    known = np.asarray(values.dropna(), dtype=np.float64)
    low, high = interval(known, resamples=RESAMPLES, seed=SEED)
    ends = f"{low:{sign}.{digits}f}, {high:{sign}.{digits}f}"
    return f"{known.mean():{sign}.{digits}f} [{ends}]"
