"""Alarm: how far from the others a visit of those that taught is, and what is too far then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from bids_synth.evaluate.trust.verdict import deviation
from bids_synth.learn.data.training_statistics import training_ranges
from bids_synth.learn.model.evidence import Alarm

RATES = (0.05, 0.005)
"""False alarms that the limits of `review` and `fail` are meant to give: one visit in twenty, one
in two hundred."""
LEAST = (3.0, 6.0)
"""Standard deviations that are never too far, however alike the participants are."""
USUAL = 2.0
"""Standard deviations that the largest of twenty normal figures is seldom below: a visit that is
nearer to the others is so by the least deviations that are believed."""
FEWEST = 4
"""Participants below which nobody can say."""
Figures = Mapping[str, float]


def fit_alarm(people: Mapping[str, Sequence[Figures]]) -> Alarm | None:
    """The limits for visits like these: participant -> figures of each visit; None for too few.

    A visit is as strange as its strangest figure: the largest deviation from the other
    participants, in their standard deviations. There are more figures than participants, so that
    no covariance is estimated. The limits are those beyond which one more participant would lie
    at the rates of `RATES`, were the logarithms of these deviations normal (prediction interval
    by Student's t), but never below `LEAST`.
    """
    if len(people) < FEWEST:
        return None
    found = []
    for label, own in people.items():
        others = [v for other, visits in people.items() if other != label for v in visits]
        found.append(max(strangeness(visit, others) for visit in own))
    logs = np.log(np.maximum(found, USUAL))
    count, mean, sd = len(logs), float(logs.mean()), float(logs.std(ddof=1))
    wide = sd * np.sqrt(1 + 1 / count)
    ends = [float(np.exp(mean + stats.t.ppf(1 - r, count - 1) * wide)) for r in RATES]
    review, fail = (max(end, least) for end, least in zip(ends, LEAST, strict=True))
    return Alarm(review=review, fail=fail, participants=count)


def strangeness(visit: Figures, others: Sequence[Figures]) -> float:
    """The largest deviation of a visit's figures from those of other visits."""
    ranges = training_ranges(others)
    far = [
        abs(deviation(name, value, (ranges[name].mean, ranges[name].sd)))
        for name, value in visit.items()
        if name in ranges and np.isfinite(value)
    ]
    return max(far, default=0.0)
