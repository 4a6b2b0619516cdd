"""Agreement: tidy numbers behind the figures of synthetic against real values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import pandas as pd

from bids_synth.errors import VisitError
from bids_synth.measure.protocols.comparable import require_comparable, scoring
from bids_synth.measure.regions import bland_altman, intraclass, region_means
from bids_synth.spatial.volume import Volume

KEYS = ("visit", "participant", "target", "sources", "method")
"""What names one synthetic image, as in the table of scores."""
GROUP = ("target", "sources", "method", "region")
"""What is drawn in one panel."""
MASK = "mask"
"""Name of the region that is the whole mask."""
Values: TypeAlias = pd.DataFrame
"""Columns `KEYS`, `region`, `voxels`, `real`, `synthetic`, `bias`, `percent_bias`."""


def mean_values(
    real: Volume,
    synthetic: Volume,
    mask: Volume,
    keys: Mapping[str, str],
    *,
    labels: Volume | None = None,
    names: Mapping[int, str] | None = None,
) -> Values:
    """What one visit adds: a row of means in the mask, and one a region inside it.

    `keys` holds `KEYS`; `labels` are whole numbers on the same grid, 0 being no region, with
    their `names` where they have any. VisitError where the grids differ or the mask is empty,
    ValueError for units that differ.
    """
    inside = require_comparable(real, synthetic, mask)
    tables = [
        region_means(real.array, synthetic.array, inside.astype(np.int64), {1: MASK}),
    ]
    if labels is not None:
        if not labels.grid.matches(real.grid, tolerance=1e-3):
            message = "cannot compare regions: the labels lie on another grid than the real image"
            raise VisitError(message)
        regions = np.where(inside, labels.array, 0)
        with scoring():
            tables.append(region_means(real.array, synthetic.array, regions, names))
    rows = pd.concat(tables, ignore_index=True)
    for place, key in enumerate(KEYS):
        rows.insert(place, key, keys[key])
    return rows


def scatter(values: Values) -> pd.DataFrame:
    """Points of synthetic against real: one a participant and panel, visits averaged first.

    Columns `GROUP`, `participant`, `real`, `synthetic`, and for a Bland-Altman plot `mean` of
    the two and `difference` = synthetic - real. Values that are NaN on either side have no point.
    """
    known = values.dropna(subset=["real", "synthetic"])
    keys = [*GROUP, "participant"]
    points = known.groupby(keys, sort=False)[["real", "synthetic"]].mean().reset_index()
    points["mean"] = (points["real"] + points["synthetic"]) / 2
    points["difference"] = points["synthetic"] - points["real"]
    return points


def agreement(points: pd.DataFrame) -> pd.DataFrame:
    """The numbers of every panel: how well participants keep their value and their order.

    Columns `GROUP`, `participants`, `real` and `synthetic` (means), `bias`, `percent_bias` (of
    the mean real value), `low`, `high` (95 % limits of agreement), `icc21`, `icc31`, `pearson`
    over participants: a model that gives everybody the mean image has correlations about 0
    whatever its error. NaN where participants are too few.
    """
    rows = [
        dict(zip(GROUP, key, strict=True)) | _panel(panel)
        for key, panel in points.groupby(list(GROUP), sort=False)
    ]
    return pd.DataFrame(rows, columns=[*GROUP, *_NUMBERS])


_NUMBERS = (
    *("participants", "real", "synthetic", "bias", "percent_bias", "low", "high"),
    *("icc21", "icc31", "pearson"),
)


def _panel(panel: pd.DataFrame) -> dict[str, float]:
    one, other = (panel[c].to_numpy(dtype=np.float64) for c in ("real", "synthetic"))
    limits = bland_altman(one, other)
    mean = float(one.mean())
    rows = {
        "participants": one.size,
        "real": mean,
        "synthetic": float(other.mean()),
        "bias": limits.bias,
        "percent_bias": 100 * limits.bias / mean if mean else float("nan"),
        "low": limits.low,
        "high": limits.high,
    }
    if one.size < 2:
        return rows
    pair = intraclass(np.column_stack([one, other]))
    varies = one.std() > 0 and other.std() > 0
    pearson = float(np.corrcoef(one, other)[0, 1]) if varies else float("nan")
    return rows | {"icc21": pair.absolute, "icc31": pair.consistent, "pearson": pearson}
