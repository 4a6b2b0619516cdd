"""Tables of scores for the page: the model and its baselines side by side, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bids_synth.core.catalogue import CATALOGUE, FEW, Metric, leaves_zero

MODEL, START, ALL = "model", "start", "all"
_FIRST = ("psnr", "ssim")
_TABLES = ("psnr", "ssim", "ms_ssim", "mae", "rmse", "nmae", "perceptual", "fid")
MINUS = "\N{MINUS SIGN}"


def score_tables(summary: pd.DataFrame, protocols: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One table per protocol and metric, from the summary of the table of scores.

    In the order of the recipe's `protocols`: the one that it is judged by comes first.
    """
    tables = []
    for protocol in in_order(summary, protocols):
        scored = summary[summary["protocol"] == protocol]
        for name in _TABLES:
            part, metric = scored[scored["metric"] == name], CATALOGUE[name]
            if part.empty:
                continue
            methods = list(dict.fromkeys(part["method"]))
            groups = part.groupby(["target", "sources"], sort=False)
            lines = [_line(key, group, methods, metric) for key, group in groups]
            title = (
                f"{metric.title}: {'higher' if metric.higher else 'lower'} is better ({protocol})"
            )
            tables.append({"title": title, "methods": methods, "lines": lines})
    return tables


def first_protocol(table: pd.DataFrame, protocols: Sequence[str]) -> pd.DataFrame:
    """The part of a table by the first of the recipe's protocols that scored anything."""
    order = in_order(table, protocols)
    return table[table["protocol"] == order[0]] if order else table


def in_order(table: pd.DataFrame, protocols: Sequence[str]) -> list[str]:
    """The protocols of a table, those of the recipe first and in its order."""
    known = list(dict.fromkeys(table["protocol"])) if "protocol" in table else []
    return list(dict.fromkeys(p for p in (*protocols, *known) if p in known))


@dataclass(frozen=True)
class Overview:
    """The one table that a reader looks for first: the model against its best baseline."""

    metrics: tuple[str, ...]
    """Words of the metrics; each takes a cell for the model, the baseline and the difference."""
    lines: tuple[Mapping[str, Any], ...]
    """`target`, `sources`, `participants`, `few`, `pooled`, and `cells`, one a metric."""


def overview(summary: pd.DataFrame) -> Overview:
    """A line a target, over all sets of its sources, from the summary of one protocol."""
    own = summary[summary["method"] == MODEL]
    shown = [m for m in _FIRST if (own["metric"] == m).any()] or list(own["metric"].unique())[:1]
    lines = []
    for target, scored in summary.groupby("target", sort=False):
        sets = set(scored["sources"])
        for sources, group in scored.groupby("sources", sort=False):
            if len(sets) > 1 and sources != ALL:
                continue
            by_metric = [group[group["metric"] == m].set_index("method") for m in shown]
            pairs = zip(shown, by_metric, strict=True)
            count = int(group["participants"].max())
            lines.append(
                {
                    "target": "all targets" if target == ALL else target,
                    "sources": f"all {len(sets) - 1} sets"
                    if sources == ALL != target
                    else sources,
                    "participants": count,
                    "few": count < FEW,
                    "pooled": target == ALL,
                    "cells": [_against(rows, CATALOGUE[m]) for m, rows in pairs],
                }
            )
    return Overview(tuple(CATALOGUE[m].short for m in shown), tuple(lines))


def _against(by_method: pd.DataFrame, metric: Metric) -> dict[str, Any]:
    """Cells of the model, its best baseline and their difference, and what that says."""
    nothing = {"mean": "n/a", "interval": ""}
    gain = _gain(by_method, metric.digits)
    versus = gain["versus"]
    return {
        "model": _cell(by_method.loc[MODEL], "", metric.digits)
        if MODEL in by_method.index
        else nothing,
        "best": _cell(by_method.loc[versus], "", metric.digits)
        if versus in by_method.index
        else nothing,
        "versus": "its own start" if versus == START else versus,
        "gain": gain,
        "result": _result(by_method, metric),
    }


def _result(by_method: pd.DataFrame, metric: Metric) -> str:
    """`better`, `worse`, or `open` where the interval of the difference holds 0 or is unknown."""
    if not _certain(by_method):
        return "open"
    return "better" if (by_method.loc[MODEL, "difference"] > 0) == metric.higher else "worse"


def _line(
    key: tuple[str, str], group: pd.DataFrame, methods: Sequence[str], metric: Metric
) -> dict[str, Any]:
    by_method = group.set_index("method")
    means = by_method["mean"].dropna()
    best = "" if means.empty else str(means.idxmax() if metric.higher else means.idxmin())
    best = best if _certain(by_method) else ""
    cells = [
        {**_cell(by_method.loc[m], "", metric.digits), "best": m == best}
        if m in by_method.index
        else {"mean": "n/a", "interval": "", "best": False}
        for m in methods
    ]
    return {
        "target": key[0],
        "sources": key[1],
        "pooled": ALL in key,
        "participants": int(group["participants"].max()),
        "few": int(group["participants"].max()) < FEW,
        "cells": cells,
        "gain": _gain(by_method, metric.digits),
    }


def _certain(by_method: pd.DataFrame) -> bool:
    """Whether the interval of model - best baseline leaves 0, so that one of them is better."""
    if MODEL not in by_method.index:
        return False
    return leaves_zero(*(by_method.loc[MODEL, f"difference_{end}"] for end in ("low", "high")))


def _cell(row: Any, prefix: str, digits: int, *, sign: str = "") -> dict[str, str]:
    mean = row["difference" if prefix else "mean"]
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    if pd.isna(mean):
        return {"mean": "n/a", "interval": ""}
    ends = f"{_number(low, digits, sign=sign)}, {_number(high, digits, sign=sign)}"
    return {
        "mean": _number(mean, digits, sign=sign),
        "interval": "[n/a]" if pd.isna(low) else f"[{ends}]",
    }


def _gain(by_method: pd.DataFrame, digits: int) -> dict[str, str]:
    if MODEL not in by_method.index or pd.isna(by_method.loc[MODEL, "difference"]):
        return {"mean": "n/a", "interval": "", "versus": ""}
    row = by_method.loc[MODEL]
    return {**_cell(row, "difference_", digits, sign="+"), "versus": str(row["versus"])}


def _number(value: float, digits: int, *, sign: str = "") -> str:
    return f"{value:{sign}.{digits}f}".replace("-", MINUS)
