"""Table: one row a scored visit, and their summary with intervals beside the baselines."""

from __future__ import annotations

import csv
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from bids_synth.core.catalogue import CATALOGUE, HIGHER_IS_BETTER, METRICS
from bids_synth.errors import UsageError
from bids_synth.measure.bootstrap import interval
from bids_synth.measure.features import Seen, frechet_rows
from bids_synth.spatial.volume import write_text

KEYS = ("visit", "participant", "target", "sources", "method", "protocol")
TRUST = ("verdict", "strangeness", "coverage", "half_width")
"""Of the model alone: its verdict, the largest deviation from what taught, the share of voxels
that the interval holds, and half its mean width in the image's unit."""
COLUMNS = (*KEYS, *METRICS, *TRUST)
MODEL = "model"
START = "start"
"""Method of the answer that the model's own fit began from; it counts as a baseline to beat."""
ALL = "all"
Rows: TypeAlias = pd.DataFrame
Summary: TypeAlias = pd.DataFrame


def summarise(rows: Rows, *, resamples: int, seed: int) -> Summary:
    """Mean over participants with a 95 % bootstrap interval, and the gain over the baselines.

    One row per protocol, target, sources, method and metric, in columns `participants`,
    `mean`, `low`, `high`; visits of one participant are averaged first. Rows with sources
    `all` pool what a target was made from, rows with target `all` pool the targets too
    (without `mae` and `rmse`, whose unit differs). Metrics that a protocol does not define have
    no rows, and a method has no mean where it has no number for an image for which another
    method has one: NaN is not left out of what it would spoil. Rows of the model also hold the
    paired difference to the best baseline, the model's own start among them: `versus`,
    `difference`, `difference_low`, `difference_high`.
    An interval over a single participant is NaN.
    """
    entries: list[dict[str, Any]] = []
    for (protocol, target, sources), group in _groups(rows):
        for metric in _defined(group, pooled=target == ALL):
            values = _by_participant(group, metric)
            for method in values.columns:
                row = _describe(values[method], resamples, seed)
                row |= {"protocol": protocol, "target": target, "sources": sources}
                row |= {"method": method, "metric": metric}
                if method == MODEL:
                    row |= _against_best(values, metric, resamples, seed)
                entries.append(row)
    return pd.DataFrame(entries, columns=list(_SUMMARY))


def with_frechet(summary: Summary, seen: Sequence[Seen]) -> Summary:
    """The summary with a row of `fid` for every target and method, under its first protocol."""
    if not seen or summary.empty:
        return summary
    rows = frechet_rows(seen, str(summary["protocol"].iloc[0]))
    return pd.concat([summary, pd.DataFrame(rows, columns=list(_SUMMARY))], ignore_index=True)


_SUMMARY = (
    *("protocol", "target", "sources", "method", "metric"),
    *("participants", "mean", "low", "high"),
    *("versus", "difference", "difference_low", "difference_high"),
)


def write_rows(rows: pd.DataFrame, path: Path) -> Path:
    """Write rows or a summary as TSV by rename; `n/a` where a value is missing."""
    text = rows.to_csv(
        sep="\t", index=False, na_rep="n/a", quoting=csv.QUOTE_NONE, escapechar="\\"
    )
    return write_text(text, path)


def read_rows(path: Path) -> pd.DataFrame:
    """Read what `write_rows` wrote; labels stay text. UsageError names what is wrong."""
    text = dict.fromkeys((*KEYS, "metric", "versus", "verdict"), str)
    try:
        table = pd.read_csv(
            path, sep="\t", na_values=["n/a"], keep_default_na=False, dtype=text,
            float_precision="round_trip", quoting=csv.QUOTE_NONE, escapechar="\\",
        )  # fmt: skip
    except (OSError, ValueError) as error:
        message = f"{path}: is not a readable table of scores ({error}); run the scoring again"
        raise UsageError(message) from error
    if missing := [c for c in ("target", "sources", "method", "protocol") if c not in table]:
        message = f"{path}: lacks the columns {', '.join(missing)}; expected a table of scores"
        raise UsageError(message)
    return table


def _groups(rows: Rows) -> Iterator[tuple[tuple[str, str, str], Rows]]:
    for protocol, scored in rows.groupby("protocol", sort=True):
        for target, answers in scored.groupby("target", sort=False):
            for sources, group in answers.groupby("sources", sort=False):
                yield (str(protocol), str(target), str(sources)), group
            if answers["sources"].nunique() > 1:
                yield (str(protocol), str(target), ALL), _everywhere(answers)
        if scored["target"].nunique() > 1:
            yield (str(protocol), ALL, ALL), _everywhere(scored)


def _everywhere(pooled: Rows) -> Rows:
    """Rows of the methods that answer as often as the model: others would be pooled over less."""
    counts = pooled.groupby("method")["method"].transform("size")
    return pooled[counts == counts.max()]


def _defined(group: Rows, *, pooled: bool) -> Iterator[str]:
    mixed = pooled and group["target"].nunique() > 1
    for metric in METRICS:
        known = metric in group and bool(group[metric].notna().any())
        if known and not (mixed and CATALOGUE[metric].has_unit):
            yield metric


def _by_participant(group: Rows, metric: str) -> pd.DataFrame:
    """Participants down, methods across; scenarios weigh alike, then visits."""
    image = [group[key] for key in ("participant", "visit", "target", "sources")]
    defined = group[group[metric].notna().groupby(image).transform("any")]
    visits = defined.groupby(["participant", "visit", "method"])[metric].mean()
    people = visits.groupby(["participant", "method"]).mean().unstack("method")
    spoiled = sorted(set(defined.loc[defined[metric].isna(), "method"]) & set(people.columns))
    people[spoiled] = float("nan")
    order = [MODEL, START, *sorted(set(people.columns) - {MODEL, START})]
    return people[[m for m in order if m in people.columns]]


def _describe(values: pd.Series[float], resamples: int, seed: int) -> dict[str, Hashable]:
    known = _known(values)
    low, high = interval(known, resamples=resamples, seed=seed)
    mean = float(known.mean()) if known.size else float("nan")
    return {"participants": int(known.size), "mean": mean, "low": low, "high": high}


def _against_best(
    values: pd.DataFrame, metric: str, resamples: int, seed: int
) -> dict[str, Hashable]:
    baselines = values.drop(columns=MODEL).mean().dropna()
    if baselines.empty:
        return {}
    best = baselines.idxmax() if HIGHER_IS_BETTER[metric] else baselines.idxmin()
    difference = _describe(values[MODEL] - values[best], resamples, seed)
    return {
        "versus": best,
        "difference": difference["mean"],
        "difference_low": difference["low"],
        "difference_high": difference["high"],
    }


def _known(values: pd.Series[float]) -> npt.NDArray[np.float64]:
    return np.asarray(values.dropna(), dtype=np.float64)
