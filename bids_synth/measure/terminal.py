"""The summary of scores as plain text: the model and its baselines side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bids_synth.core.catalogue import CATALOGUE, FEW, HIGHER_IS_BETTER, leaves_zero
from bids_synth.measure.table import MODEL, START, Summary

_SHOWN = ("psnr", "ssim", "ms_ssim", "nmae", "perceptual", "fid")
_INSTEAD = {"nmae": "mae"}
"""What is shown where a protocol does not define the first."""
_GAP = "  "


def format_table(summary: Summary) -> str:
    """One block per protocol and metric; the best of each line is marked `*`, if it is certain.

    Cells are `mean [95 % interval]` over participants; the last column is the paired
    difference of the model to its best baseline.
    """
    if summary.empty:
        return "no visit was scored\n"
    blocks = []
    for protocol, scored in summary.groupby("protocol", sort=True):
        for metric in _shown(set(scored["metric"])):
            part = scored[scored["metric"] == metric]
            better = "higher" if CATALOGUE[metric].higher else "lower"
            title = f"{CATALOGUE[metric].title} ({better} is better), {protocol}\n"
            blocks.append(title + _block(part, metric, CATALOGUE[metric].digits))
    note = (
        "mean [95 % bootstrap interval over participants]; * best, where the interval of the last "
        "column leaves 0; n/a: one participant only; (few): fewer than five participants\n"
    )
    if START in set(summary["method"]):
        note += (
            f"{START}: the answer that the model's own fit began from, a baseline like others\n"
        )
    return "\n".join([*blocks, note])


def _shown(defined: set[str]) -> list[str]:
    wanted = [m if m in defined else _INSTEAD.get(m, m) for m in _SHOWN]
    return [m for m in wanted if m in defined]


def _block(part: pd.DataFrame, metric: str, digits: int) -> str:
    methods = list(dict.fromkeys(part["method"]))
    lines = [["target", "from", "n", *methods, "model - best baseline"]]
    for (target, sources), group in part.groupby(["target", "sources"], sort=False):
        by_method = group.set_index("method")
        means = by_method["mean"].dropna()
        best = (
            "" if means.empty else means.idxmax() if HIGHER_IS_BETTER[metric] else means.idxmin()
        )
        best = best if _certain(by_method) else ""
        count = int(group["participants"].max())
        people = f"{count} (few)" if count < FEW else str(count)
        cells = [
            _cell(by_method.loc[m], digits) + ("*" if m == best else " ") if m in by_method.index
            else "n/a"
            for m in methods
        ]  # fmt: skip
        lines.append([str(target), str(sources), people, *cells, _gain(by_method, digits)])
    return _align(lines)


def _certain(by_method: pd.DataFrame) -> bool:
    """Whether the interval of model - best baseline leaves 0, so that one of them is better."""
    if MODEL not in by_method.index:
        return False
    return leaves_zero(*(by_method.loc[MODEL, f"difference_{end}"] for end in ("low", "high")))


def _cell(row: Any, digits: int) -> str:
    return with_interval(row["mean"], row["low"], row["high"], digits)


def _gain(by_method: pd.DataFrame, digits: int) -> str:
    if MODEL not in by_method.index or pd.isna(by_method.loc[MODEL, "difference"]):
        return "n/a"
    row = by_method.loc[MODEL]
    ends = (row["difference"], row["difference_low"], row["difference_high"])
    return f"{with_interval(*ends, digits, sign='+')} {row['versus']}"


def with_interval(mean: float, low: float, high: float, digits: int, *, sign: str = "") -> str:
    """A mean with its interval, or `n/a` where there is none.

    >>> with_interval(32.13, 31.22, 33.04, 1), with_interval(0.5, float("nan"), float("nan"), 2)
    ('32.1 [31.2, 33.0]', '0.50 [n/a]')
    """
    if pd.isna(mean):
        return "n/a"
    ends = "n/a" if pd.isna(low) else f"{low:{sign}.{digits}f}, {high:{sign}.{digits}f}"
    return f"{mean:{sign}.{digits}f} [{ends}]"


def _align(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    rule = ["-" * width for width in widths]
    padded = [
        _GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (lines[0], rule, *lines[1:])
    ]
    return "\n".join(padded) + "\n"
