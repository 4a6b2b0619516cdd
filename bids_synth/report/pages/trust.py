"""Trust on the page of a model: what intervals hold, strangeness, lesions and volumes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bids_synth.report.figures.trust import draw_coverage, draw_strangeness

_NONE = "n/a"
WHOLE = "mask"
"""Region of the table of coverage that is the whole mask."""


@dataclass(frozen=True, eq=False)
class TrustShown:
    """What was measured on test participants beside the scores."""

    level: float
    """Share that the intervals are meant to hold."""
    limits: tuple[float, float] | None = None
    """Strangeness from which an image is looked at, and refused; None where nobody fitted it."""
    limits_from: int = 0
    """Participants that the limits are from."""
    calibrated_on: int = 0
    """Validation participants that the intervals are from; 0 where there are none."""
    coverage: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of `coverage.tsv`."""
    lesions: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of `lesions.tsv`."""
    volumes: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of `agreement` of the volumes of tissue, with their mean `dice`."""


def trust_parts(shown: TrustShown, rows: pd.DataFrame) -> dict[str, Any]:
    """The values of the section of a page; `rows` are the scores by one protocol."""
    return {
        "headline": _headline(shown),
        "level": f"{100 * shown.level:.0f}",
        "calibrated_on": shown.calibrated_on,
        "limits": None if shown.limits is None else [f"{x:.1f}" for x in shown.limits],
        "limits_from": shown.limits_from,
        "strangeness": draw_strangeness(rows, shown.limits),
        "held": draw_coverage(shown.coverage, shown.level),
        "coverage": coverage_lines(shown.coverage),
        "lesions": lesion_lines(shown.lesions),
        "volumes": volume_lines(shown.volumes),
    }


def _headline(shown: TrustShown) -> str:
    """What the intervals hold of the whole mask, in a few words."""
    if not shown.calibrated_on:
        return "nobody validated this model"
    if shown.coverage.empty:
        return "nobody was left to try its intervals on"
    whole = shown.coverage[shown.coverage["region"] == WHOLE]["coverage"]
    return (
        f"intervals meant to hold {100 * shown.level:.0f} % hold {100 * whole.mean():.0f} % of "
        f"the voxels of {len(whole)} held-out image{'s' * (len(whole) != 1)}"
    )


def coverage_lines(coverage: pd.DataFrame) -> list[list[str]]:
    """Target, sources, region, images, mean, lowest and highest share, half width, error."""
    lines: list[list[str]] = []
    if coverage.empty:
        return lines
    for (target, sources, region), own in coverage.groupby(
        ["target", "sources", "region"], sort=False
    ):
        share = 100 * own["coverage"]
        ends = f"{share.min():.0f} to {share.max():.0f}"
        means = [f"{own[c].mean():.3g}" for c in ("half_width", "error")]
        keys = [str(target), str(sources), str(region)]
        lines.append([*keys, str(len(own)), f"{share.mean():.1f}", ends, *means])
    return lines


def lesion_lines(lesions: pd.DataFrame) -> list[list[str]]:
    """Target, sources, images, visible, kept, faded, erased, contrast, invented, wider."""
    lines: list[list[str]] = []
    if lesions.empty:
        return lines
    for (target, sources), own in lesions.groupby(["target", "sources"], sort=False):
        counts = [str(int(own[c].sum())) for c in ("visible", "kept", "faded", "erased")]
        ratio = [_number(own[c].median(), 2) for c in ("contrast", "wider")]
        blobs = f"{own['invented'].mean():.1f}"
        lines.append(
            [str(target), str(sources), str(len(own)), *counts, ratio[0], blobs, ratio[1]]
        )
    return lines


def volume_lines(volumes: pd.DataFrame) -> list[list[str]]:
    """Target, sources, tissue, participants, real, bias, limits of agreement, Dice."""
    return [
        [
            *(str(row[c]) for c in ("target", "sources", "region", "participants")),
            _number(row["real"], 0),
            f"{_number(row['bias'], 0, sign='+')} ({_number(row['percent_bias'], 1, sign='+')} %)",
            _NONE if pd.isna(row["low"]) else f"{row['low']:+.0f} to {row['high']:+.0f}",
            _number(row["dice"], 3),
        ]
        for row in volumes.to_dict("records")
    ]


def _number(value: Any, digits: int, *, sign: str = "") -> str:
    return _NONE if pd.isna(value) else f"{value:{sign}.{digits}f}"
