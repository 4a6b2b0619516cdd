"""Tables of scores for the page: the model and its baselines side by side, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bids_synth.core.catalogue import CATALOGUE, FEW, Metric, leaves_zero

MODEL, START, ALL = "model", "start", "all"
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


def score_tiles(summary: pd.DataFrame, people: str) -> list[dict[str, str]]:
    """The figures that a reader looks for first, from the summary of one protocol."""
    tiles = []
    if people:
        tiles.append({"value": people, "words": "participants: training / validation / test"})
    for metric, words, digits in (("psnr", "PSNR", 1), ("ssim", "SSIM", 3)):
        unit = ", dB" if metric == "psnr" else ""
        row = _overall(summary, metric)
        if row is None:
            continue
        tiles.append(
            {"value": f"{row['mean']:.{digits}f}", "words": f"{words} of the model{unit}"}
        )
        if pd.notna(row["difference"]):
            gain = _number(row["difference"], digits, sign="+")
            best = "its own start" if row["versus"] == START else row["versus"]
            words = f"{words} against the best baseline, {best}{unit}"
            tiles.append({"value": gain, "words": words})
    return tiles


def _overall(summary: pd.DataFrame, metric: str) -> Any:
    rows = summary[(summary["metric"] == metric) & (summary["method"] == MODEL)]
    if rows.empty:
        return None
    for chosen in (rows[rows["target"] == ALL], rows[rows["sources"] == ALL], rows):
        if len(chosen) == 1:
            return chosen.iloc[0]
    return None


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
