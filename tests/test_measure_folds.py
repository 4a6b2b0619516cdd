"""Splits: disjoint, covering, deterministic and by participant, whatever the input."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_synth.core.split import Fold, Split
from bids_synth.errors import UsageError
from bids_synth.learn.split.folds import check_split, draw_split

LABELS = st.sets(st.text("abcXYZ0123", min_size=1, max_size=4), min_size=7, max_size=60)
TEST = st.sampled_from([0.0, 0.1, 0.2, 0.45])


@given(labels=LABELS, test=TEST, folds=st.integers(1, 6), seed=st.integers(0, 9))
def test_every_participant_has_exactly_one_part_in_every_fold(labels, test, folds, seed):
    split = draw_split(sorted(labels), test=test, validation=0.15, folds=folds, seed=seed)
    assert len(split.folds) == folds
    assert bool(split.test) == (test > 0)
    for fold in split.folds:
        assert fold.training
        assert fold.validation
        assert fold.training | fold.validation | split.test == labels
        assert len(fold.training) + len(fold.validation) + len(split.test) == len(labels)


@given(labels=LABELS, test=TEST, folds=st.integers(2, 6))
def test_in_cross_validation_everybody_outside_the_test_validates_once(labels, test, folds):
    split = draw_split(sorted(labels), test=test, validation=0.15, folds=folds, seed=1)
    validated = [p for fold in split.folds for p in fold.validation]
    assert sorted(validated) == sorted(labels - split.test)


@given(labels=LABELS, seed=st.integers(0, 9))
def test_order_and_repeated_visits_change_nothing(labels, seed):
    visits = sorted(labels) * 2
    random.Random(seed).shuffle(visits)
    arguments = {"test": 0.2, "validation": 0.15, "folds": 1, "seed": seed}
    assert draw_split(visits, **arguments) == draw_split(sorted(labels), **arguments)


def test_another_seed_is_another_split():
    labels = [f"{n:02d}" for n in range(30)]
    drawn = {draw_split(labels, test=0.2, validation=0.2, folds=1, seed=s).test for s in range(5)}
    assert len(drawn) == 5


def test_the_fractions_are_kept():
    """On average to the head; of one split of forty to two participants."""
    labels = [str(n) for n in range(40)]
    splits = [draw_split(labels, test=0.2, validation=0.15, folds=1, seed=s) for s in range(50)]
    tested = [len(split.test) for split in splits]
    validated = [len(split.folds[0].validation) for split in splits]
    assert abs(sum(tested) / 50 - 8) < 0.2
    assert abs(sum(validated) / 50 - 6) < 0.2
    assert max(abs(n - 8) for n in tested) <= 2
    assert max(abs(n - 6) for n in validated) <= 2


@pytest.mark.parametrize(
    ("count", "test", "folds", "needed"), [(2, 0.2, 1, 3), (1, 0.0, 1, 2), (5, 0.2, 5, 6)]
)
def test_too_few_participants_are_told_how_many_are_needed(count, test, folds, needed):
    labels = [str(n) for n in range(count)]
    with pytest.raises(UsageError, match=f"at least {needed}"):
        draw_split(labels, test=test, validation=0.15, folds=folds, seed=1)
    more = [str(n) for n in range(needed)]
    assert draw_split(more, test=test, validation=0.15, folds=folds, seed=1)


def test_no_folds_is_refused():
    with pytest.raises(UsageError, match="--folds 0"):
        draw_split(["1", "2", "3"], test=0.2, validation=0.2, folds=0, seed=1)


def test_a_users_split_is_checked_in_both_directions():
    split = Split(frozenset({"a"}), (Fold(frozenset({"b", "f"}), frozenset({"c"})),))
    assert check_split(split, ["c", "b", "a", "a", "f"]) == (split, [])
    with pytest.raises(UsageError, match="sub-d, sub-e"):
        check_split(split, ["a", "b", "c", "d", "e"])
    kept, notes = check_split(split, ["a", "b", "c"])
    assert kept.listed == {"a", "b", "c"}
    assert "sub-f" in notes[0]
