"""Trusted: over the test visits, what intervals hold, what becomes of lesions and of volumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bids_synth.core.visit import Prepared
from bids_synth.evaluate.lesions import COLUMNS as LESION_COLUMNS
from bids_synth.evaluate.lesions import lesion_row, lesions_on_native
from bids_synth.evaluate.score import Scored
from bids_synth.evaluate.trust.coverage import coverage_rows
from bids_synth.evaluate.trust.judged import held_out_check
from bids_synth.evaluate.trust.verdict import worse
from bids_synth.evaluate.volumes import volume_rows
from bids_synth.learn.model.card import Card
from bids_synth.learn.model.evidence import held_out_of
from bids_synth.measure.agreement import GROUP, agreement, scatter
from bids_synth.measure.table import MODEL


@dataclass
class Trusted:
    """Tables that are filled one scored image after the other."""

    lesion_masks: Mapping[str, Path] = field(default_factory=dict)
    """Label of a visit -> the mask of its lesions, where somebody drew them."""
    _coverage: list[pd.DataFrame] = field(default_factory=list)
    _lesions: list[pd.DataFrame] = field(default_factory=list)
    _volumes: list[pd.DataFrame] = field(default_factory=list)

    def add(self, scored: Scored, prepared: Prepared, *, largest: bool) -> None:
        """Take up one image; `largest` where it is made of all that the visit has.

        Volumes are measured of these alone.
        """
        image, mask = scored.synthetic, scored.where(prepared)
        lesions = lesions_on_native(self.lesion_masks.get(prepared.label), prepared)
        self._coverage.append(coverage_rows(image, prepared, mask, lesions))
        self._lesions.append(lesion_row(image, prepared, mask, lesions))
        if largest:
            self._volumes.append(volume_rows(image, prepared, mask))

    @property
    def lesions(self) -> pd.DataFrame:
        """One row an image of a visit with lesions."""
        return _joined(self._lesions, LESION_COLUMNS)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Name of a file -> its rows, of those that have any."""
        tables = {
            "coverage": _joined(self._coverage),
            "lesions": self.lesions,
            "volumes": _joined(self._volumes),
        }
        return {name: table for name, table in tables.items() if len(table)}

    def agreement_of_volumes(self) -> pd.DataFrame:
        """Bias and limits of agreement of every tissue over participants, and the mean Dice."""
        return volume_agreement(_joined(self._volumes))


def volume_agreement(volumes: pd.DataFrame) -> pd.DataFrame:
    """Bias and limits of agreement of volumes over participants, and the mean Dice."""
    if volumes.empty:
        return volumes
    table = agreement(scatter(volumes))
    dice = volumes.groupby(list(GROUP), sort=False)["dice"].mean().reset_index()
    return table.merge(dice, on=list(GROUP))


def with_verdicts(rows: pd.DataFrame, card: Card) -> pd.DataFrame:
    """Rows of scores whose verdicts know what the scores of all say of such images."""
    if rows.empty:
        return rows
    rows = rows.copy()
    for (target, sources), _ in rows.groupby(["target", "sources"], sort=False):
        names = str(sources).split("+")
        score = held_out_of(card.held_out, str(target), names)
        check, _ = held_out_check(score, str(target), names)
        own = (rows["target"] == target) & (rows["sources"] == sources) & (rows["method"] == MODEL)
        rows.loc[own, "verdict"] = [worse(v, check.level) for v in rows.loc[own, "verdict"]]
    return rows


def _joined(tables: Iterable[pd.DataFrame], columns: Iterable[str] = ()) -> pd.DataFrame:
    kept = [table for table in tables if len(table)]
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=[*columns])
