"""Left out: real participants, each scored by the shipped model fitted without their study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.real.people import DIRECTIONS, STUDIES, others
from benchmarks.real.shipped import without
from bids_synth.bids.raw.lesions import lesion_mask
from bids_synth.core.synthetic import Synthetic
from bids_synth.core.visit import Prepared
from bids_synth.evaluate.score import score_withheld
from bids_synth.evaluate.trust.alarm import fit_alarm
from bids_synth.evaluate.trust.evidence import RULES, held_out_scores
from bids_synth.evaluate.trust.intervals import (
    Errors,
    errors_of,
    fit_intervals,
    image_ranges,
    with_interval,
)
from bids_synth.evaluate.trust.judged import judged
from bids_synth.evaluate.trust.trusted import Trusted
from bids_synth.learn.data.training_statistics import Range, figures, training_ranges
from bids_synth.learn.model.card import Card
from bids_synth.learn.model.evidence import Alarm, HeldOut, IntervalEntry
from bids_synth.learn.model.model import Model, load_model
from bids_synth.learn.synthesize import load_synthesizer
from bids_synth.measure.table import summarise

MODALITIES = ("T1w", "T2w", "FLAIR")
PROTOCOL = "masked3d"
RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Image:
    """One image of a participant by the model without their study."""

    study: str
    person: Prepared
    synthetic: Synthetic
    errors: Errors


@dataclass(frozen=True, eq=False)
class LeftOut:
    """All of them, and the models that made them."""

    people: dict[str, Prepared]
    models: dict[str, Model]
    """Study -> the model that has not seen it."""
    images: list[Image] = field(default_factory=list)

    def errors(self, studies: Sequence[str]) -> list[Errors]:
        """Those of the participants of some studies."""
        return [one.errors for one in self.images if one.study in studies]


def left_out(people: dict[str, Prepared], out: Path) -> LeftOut:
    """Every participant from every set of sources; the fits are taken over where they are."""
    models = {study: load_model(without(people, out, study)) for study in STUDIES}
    result = LeftOut(people, models)
    for study, model in models.items():
        synthesizer = load_synthesizer(model, "cpu")
        for label in STUDIES[study]:
            person = people[label]
            for number, (sources, target) in enumerate(sorted(DIRECTIONS)):
                image = synthesizer.synthesize(person, target, sources=sources)
                rng = np.random.default_rng([7, number])
                errors = errors_of(image, person, rng, corrected=True)
                result.images.append(Image(study, person, image, errors))
    return result


def card_without(known: LeftOut, study: str) -> Card:
    """The card of the model without a study, with all that the other studies say."""
    rest = [s for s in STUDIES if s != study]
    card = known.models[study].card
    visits = {label: [figures(known.people[label], MODALITIES)] for label in others(study)}
    errors = known.errors(rest)
    ranges = training_ranges([v for own in visits.values() for v in own]) | image_ranges(errors)
    update = {
        "ranges": {**card.ranges, **ranges},
        "alarm": fit_alarm(visits),
        "intervals": fit_intervals(errors),
        "evidence": RULES,
    }
    return card.model_copy(update=update)


def tables(known: LeftOut, dataset: Path, *, beside: bool = True) -> tuple[pd.DataFrame, Trusted]:
    """Scores of every image with its verdict, and what its interval holds, without its study.

    With the baselines `beside`, which take most of the time. Volumes are measured of images of
    two sources.
    """
    masks = {
        person.label: path
        for person in known.people.values()
        if (path := lesion_mask(person.visit, dataset)) is not None
    }
    trusted, rows = Trusted(masks), []
    for study, model in known.models.items():
        own = replace(model, card=card_without(known, study))
        baselines = model.baselines() if beside else None
        for one in (image for image in known.images if image.study == study):
            image = with_interval(one.synthetic, one.person, own.card.intervals)
            image = judged(image, one.person, own)
            scored = score_withheld(image, own, baselines, one.person)
            rows.append(scored.rows)
            trusted.add(scored, one.person, largest=len(image.sources) > 1)
    return pd.concat(rows, ignore_index=True), trusted


@dataclass(frozen=True, eq=False)
class Evidence:
    """What goes into the card of the shipped model."""

    ranges: dict[str, Range]
    """Of synthetic images."""
    alarm: Alarm | None
    intervals: list[IntervalEntry]
    held_out: list[HeldOut]


def evidence(known: LeftOut, dataset: Path) -> Evidence:
    """All that those left out have shown."""
    rows, trusted = tables(known, dataset)
    errors = known.errors([*STUDIES])
    visits = {label: [figures(p, MODALITIES)] for label, p in known.people.items()}
    summary = summarise(rows, resamples=RESAMPLES, seed=0)
    scores = held_out_scores(summary, PROTOCOL, trusted.lesions)
    return Evidence(image_ranges(errors), fit_alarm(visits), fit_intervals(errors), scores)
