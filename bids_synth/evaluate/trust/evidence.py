"""Evidence: what is measured of a fitted model on people whom it has not learned from."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from bids_synth.core.split import Split
from bids_synth.core.visit import Prepared
from bids_synth.evaluate.lesions import lesion_sentence
from bids_synth.evaluate.trust.alarm import fit_alarm
from bids_synth.evaluate.trust.intervals import (
    Withholding,
    fit_intervals,
    held_out_errors,
    image_ranges,
)
from bids_synth.learn.data.training_statistics import figures
from bids_synth.learn.model.card import Card
from bids_synth.learn.model.evidence import HeldOut
from bids_synth.learn.model.model import Model, load_model
from bids_synth.learn.synthesize import load_synthesizer
from bids_synth.measure.table import ALL, MODEL
from bids_synth.spatial.volume import write_text

LOG = logging.getLogger(__name__)
RULES = 2
"""Changes when intervals and limits are measured in another way, so that they are made anew."""
METRIC = "psnr"
"""By which a model must be better than every plain answer."""


def with_evidence(
    model: Model,
    prepared: Sequence[Prepared],
    split: Split,
    withheld: Withholding,
    *,
    device: str,
    seed: int,
) -> Model:
    """The model with intervals and limits of its verdict in its card; measured once.

    `withheld` gives the preparation in which a task is scored. Only visits of training and
    validation participants are looked at. Killed before its end and called again, it begins anew.
    """
    if model.card.evidence == RULES:
        return model
    seen = [p for p in prepared if p.visit.participant in split.fitted]
    people: dict[str, list[dict[str, float]]] = {}
    for visit in seen:
        own = figures(visit, tuple(model.recipe.modalities))
        people.setdefault(visit.visit.participant, []).append(own)
    alarm = fit_alarm(people)
    errors = []
    if any(fold.validation for fold in split.folds):
        LOG.info("measuring how far from the truth images of validation participants are")
        synthesizer = load_synthesizer(model, device)
        errors = list(held_out_errors(synthesizer, seen, split, withheld, seed=seed))
    else:
        LOG.warning(
            "%s: no validation participant, so that no image of this model has a calibrated "
            "interval, and no verdict is better than review",
            model.name,
        )
    ranges = {**model.card.ranges, **image_ranges(errors)}
    update = {"alarm": alarm, "intervals": fit_intervals(errors), "evidence": RULES}
    return _rewritten(model, model.card.model_copy(update={**update, "ranges": ranges}))


def with_scores(model: Model, summary: pd.DataFrame, lesions: pd.DataFrame) -> Model:
    """The model with its scores on test participants in its card, and what became of lesions.

    By the recipe's first protocol that scored anything.
    """
    protocols = model.recipe.evaluation.protocols
    known = set(summary["protocol"]) if len(summary) else set()
    protocol = next((p for p in protocols if p in known), "")
    held_out = held_out_scores(summary, protocol, lesions)
    if held_out == model.card.held_out:
        return model
    return _rewritten(model, model.card.model_copy(update={"held_out": held_out}))


def held_out_scores(summary: pd.DataFrame, protocol: str, lesions: pd.DataFrame) -> list[HeldOut]:
    """How much better the model was than the best plain answer, for every target and sources.

    With what became of `lesions`, one row an image, where there are any.
    """
    if summary.empty:
        return []
    rows = summary[
        (summary["protocol"] == protocol)
        & (summary["metric"] == METRIC)
        & (summary["method"] == MODEL)
        & (summary["sources"] != ALL)
        & summary["difference"].notna()
    ]
    return [
        HeldOut(
            target=row["target"],
            sources=row["sources"].split("+"),
            protocol=protocol,
            metric=METRIC,
            participants=int(row["participants"]),
            mean=row["mean"],
            versus=row["versus"],
            difference=row["difference"],
            low=_known(row["difference_low"]),
            high=_known(row["difference_high"]),
            lesions=lesion_sentence(lesions, row["target"], row["sources"]),
        )
        for row in rows.to_dict("records")
    ]


def evidence_digest(card: Card) -> str:
    """sha256 of all that decides interval and verdict beside the weights."""
    parts = card.model_dump(mode="json", include={"alarm", "intervals", "held_out", "ranges"})
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _rewritten(model: Model, card: Card) -> Model:
    write_text(card.text(), model.folder / "model.json")
    return load_model(model.folder)
