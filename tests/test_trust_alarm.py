"""Limits of the verdict: false alarms of new people at the stated rate, gross faults always."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_synth.evaluate.trust.alarm import FEWEST, LEAST, fit_alarm, strangeness

NAMES = [f"{kind}_{m}" for kind in ("intensity_mean", "intensity_sd") for m in ("T1w", "T2w")]


def visits(rng, count, scale=1.0):
    """Figures of visits that vary more than any floor."""
    return [{name: float(rng.normal(0.0, scale)) for name in NAMES} for _ in range(count)]


def people(rng, count):
    return {str(n): visits(rng, 1) for n in range(count)}


@pytest.mark.parametrize("count", [6, 12, 40])
def test_new_people_are_looked_at_about_as_often_as_stated(count):
    """At most one in twenty, but for chance; the limits never go below LEAST, which is less."""
    rng, looked, refused, total = np.random.default_rng(5), 0, 0, 0
    for _ in range(60):
        known = people(rng, count)
        alarm = fit_alarm(known)
        others = [visit for own in known.values() for visit in own]
        found = [strangeness(visit, others) for visit in visits(rng, 20)]
        looked += sum(value > alarm.review for value in found)
        refused += sum(value > alarm.fail for value in found)
        total += len(found)
    assert looked / total < 0.07
    assert refused / total < 0.012


@settings(max_examples=10)
@given(st.integers(0, 2**31), st.integers(FEWEST, 30), st.sampled_from(NAMES))
def test_a_gross_fault_is_stranger_than_any_limit(seed, count, name):
    rng = np.random.default_rng(seed)
    known = people(rng, count)
    others = [visit for own in known.values() for visit in own]
    odd = visits(rng, 1)[0] | {name: 1e5}
    assert strangeness(odd, others) > fit_alarm(known).fail


def test_too_few_people_cannot_say():
    rng = np.random.default_rng(0)
    assert fit_alarm(people(rng, FEWEST - 1)) is None
    assert fit_alarm({}) is None
    assert fit_alarm(people(rng, FEWEST)).participants == FEWEST


def test_people_who_are_all_alike_do_not_make_everybody_strange():
    same = {str(n): [dict.fromkeys(NAMES, 0.5)] for n in range(8)}
    alarm = fit_alarm(same)
    assert (alarm.review, alarm.fail) == LEAST


def test_more_varied_people_have_wider_limits():
    rng = np.random.default_rng(1)
    one = people(rng, 12)
    # Some are far from the others, and so may be the next.
    mixed = {**one, "far": visits(rng, 1, scale=30.0), "farther": visits(rng, 1, scale=60.0)}
    assert fit_alarm(mixed).review > fit_alarm(one).review


def test_visits_of_one_person_are_left_out_together():
    """A person of many visits that are all odd in one way does not call them usual."""
    rng = np.random.default_rng(2)
    odd = [visit | {"intensity_mean_T1w": 50.0} for visit in visits(rng, 10)]
    known = people(rng, 8)
    assert fit_alarm({**known, "odd": odd}).review > 3 * fit_alarm(known).review
