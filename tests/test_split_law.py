"""The law of the split: who is where depends on one's own label, not on who fails or is added."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bids_synth.bids.raw.query import Discovery
from bids_synth.core.settings import Settings
from bids_synth.core.split import Fold, Split
from bids_synth.core.visit import Scan, Visit
from bids_synth.errors import Problem, UsageError
from bids_synth.learn.split.folds import check_prepared, check_split, draw_split, shortages
from bids_synth.pipeline.learnable import dataset_split
from bids_synth.recipe.recipe import load_recipe

LABELS = st.text("abcXYZ0123456789", min_size=1, max_size=5)
PLAN = {"test": 0.2, "validation": 0.15}


def parts_of(split: Split) -> dict[str, tuple[str | None, ...]]:
    folds = range(len(split.folds))
    return {p: tuple(split.part(p, fold) for fold in folds) for p in split.listed}


def visit(label: str, modalities=("T1w", "T2w"), session: str | None = None) -> Visit:
    scans = {m: Scan(m, Path(f"/none/{label}_{m}.nii.gz")) for m in modalities}
    return Visit(label, session, scans)


def asked(**more) -> Settings:
    here = Path("/none")
    return Settings(here, here, "group", here, **more)


def drawn(visits, unusable=(), **more) -> Split:
    problems = tuple(Problem(v.label, "no header") for v in unusable)
    found = Discovery(tuple(visits), problems, (), tuple(unusable))
    return dataset_split(load_recipe("impute"), found, asked(**more))[0]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), labels=st.sets(LABELS, min_size=9, max_size=40), folds=st.integers(1, 4))
def test_whoever_fails_at_whatever_moment_moves_nobody(data, labels, folds):
    """(a) No set of visits that cannot be used changes anything; so parallel jobs agree."""
    visits = [visit(label) for label in sorted(labels)]
    failing = data.draw(st.sets(st.sampled_from(sorted(labels)), max_size=len(labels) - 4))
    good = [v for v in visits if v.participant not in failing]
    bad = [v for v in visits if v.participant in failing]
    whole = drawn(visits, folds=folds, seed=3)
    assert parts_of(drawn(good, bad, folds=folds, seed=3)) == parts_of(whole)
    assert whole.listed == labels


@settings(max_examples=200, deadline=None)
@given(
    labels=st.sets(LABELS, min_size=8, max_size=60),
    folds=st.integers(1, 3),
    seed=st.integers(0, 50),
    test=st.sampled_from([0.0, 0.2]),
    data=st.data(),
)
def test_adding_or_removing_one_moves_nobody_where_no_part_hangs_on_it(
    labels, folds, seed, test, data
):
    """(b) The exception is a part that would be empty, with or without that participant."""
    gone = data.draw(st.sampled_from(sorted(labels)))
    plan = {"test": test, "validation": 0.15, "folds": folds, "seed": seed}
    alone = {label: _by_itself(label, **plan) for label in labels}
    parts = set(range(1 if not test else 0, 3 if folds == 1 else folds + 1))
    assume({alone[label] for label in labels - {gone}} == parts)
    before = parts_of(draw_split(sorted(labels), **plan))
    after = parts_of(draw_split(sorted(labels - {gone}), **plan))
    before.pop(gone)
    assert after == before


def _by_itself(label: str, *, test: float, validation: float, folds: int, seed: int) -> int:
    """The part of a participant among a thousand others: 0 the test, then those that validate."""
    crowd = [f"Q{n}" for n in range(200)]
    split = draw_split([*crowd, label], test=test, validation=validation, folds=folds, seed=seed)
    if label in split.test:
        return 0
    validating = [label in fold.validation for fold in split.folds]
    return validating.index(True) + 1 if any(validating) else 2


@settings(max_examples=60, deadline=None)
@given(
    first=st.integers(0, 5000),
    count=st.integers(20, 120),
    folds=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_numbered_participants_are_divided_nearly_as_the_fractions_say(first, count, folds, seed):
    labels = [f"{n:04d}" for n in range(first, first + count)]
    one = draw_split(labels, **PLAN, folds=1, seed=seed)
    assert abs(len(one.test) - 0.2 * count) < 3
    assert abs(len(one.folds[0].validation) - 0.15 * count) < 3
    several = draw_split(labels, **PLAN, folds=folds, seed=seed)
    for fold in several.folds:
        assert abs(len(fold.validation) - 0.8 * count / folds) < 3


def test_over_seeds_everybody_is_tested_as_often_as_the_fraction_says():
    labels = [f"s{n}" for n in range(30)]
    splits = [draw_split(labels, **PLAN, folds=1, seed=seed) for seed in range(400)]
    for label in labels:
        share = sum(label in split.test for split in splits) / len(splits)
        assert abs(share - 0.2) < 0.08  # four standard errors


@settings(max_examples=150, deadline=None)
@given(
    labels=st.sets(LABELS, min_size=6, max_size=40),
    few=st.integers(3, 6),
    other=st.integers(3, 6),
    seed=st.integers(0, 50),
    data=st.data(),
)
def test_a_modality_that_three_have_is_in_every_part(labels, few, other, seed, data):
    order = data.draw(st.permutations(sorted(labels)))
    having = {label: {"T1w"} for label in labels}
    for name, count in (("T2w", few), ("FLAIR", other)):
        for label in order[:count]:
            having[label].add(name)
        order = order[::-1]
    split = draw_split(sorted(labels), **PLAN, folds=1, seed=seed, having=having)
    assert shortages(split, having) == []
    for name in ("T1w", "T2w", "FLAIR"):
        people = {label for label, present in having.items() if name in present}
        for part in (split.test, split.folds[0].validation, split.folds[0].training):
            assert part & people, name


@settings(max_examples=60, deadline=None)
@given(
    rows=st.dictionaries(LABELS, st.sets(st.sampled_from("ABCD")), min_size=6, max_size=15),
    seed=st.integers(0, 20),
)
def test_where_a_part_lacks_a_modality_it_is_told_and_only_there(rows, seed):
    split = draw_split(sorted(rows), **PLAN, folds=1, seed=seed, having=rows)
    fold = split.folds[0]
    parts = {"test": split.test, "validation": fold.validation, "training": fold.training}
    told = " ".join(shortages(split, rows))
    for name in {m for present in rows.values() for m in present}:
        people = {label for label, present in rows.items() if name in present}
        lacking = [part for part, members in parts.items() if not members & people]
        line = next((x for x in shortages(split, rows) if x.startswith(f"{name}:")), "")
        assert bool(line) == bool(lacking)
        assert all(part in line for part in lacking), told


def test_the_plan_says_what_a_part_lacks_before_anything_runs():
    visits = [visit(f"{n:02d}", ("T1w", "T2w")) for n in range(8)]
    rare = [visit("77", ("T1w", "FLAIR")), visit("78", ("T1w", "FLAIR"))]
    rare.append(visit("78b", ("T1w", "FLAIR")))
    found = Discovery((*visits, *rare))
    split, notes = dataset_split(load_recipe("impute"), found, asked(seed=4))
    assert not notes
    assert {split.part(v.participant) for v in rare} == {"training", "validation", "test"}
    _, notes = dataset_split(load_recipe("impute"), found, asked(seed=4, folds=5))
    assert any("FLAIR" in note and "3 participant(s)" in note for note in notes)


def test_a_part_of_whom_nobody_is_left_is_named():
    split = Split(frozenset("t"), (Fold(frozenset("ab"), frozenset("v")),))
    check_prepared(split, "tabv")
    check_prepared(split, "tbv")
    with pytest.raises(UsageError, match="validation of fold 0: sub-v"):
        check_prepared(split, "tab")
    with pytest.raises(UsageError, match="test: sub-t"):
        check_prepared(split, "abv")


def test_strangers_of_a_split_file_are_told_and_passed_over(tmp_path: Path):
    path = tmp_path / "split.tsv"
    rows = {"01": "training", "02": "training", "03": "validation", "04": "test", "99": "test"}
    lines = "".join(f"sub-{label}\t{part}\n" for label, part in rows.items())
    path.write_text("participant_id\tpart\n" + lines)
    found = Discovery(tuple(visit(label) for label in rows if label != "99"))
    split, notes = dataset_split(load_recipe("impute"), found, asked(split_file=path))
    assert split.listed == {"01", "02", "03", "04"}
    assert any("sub-99" in note for note in notes)
    more = Discovery((*found.visits, visit("05")))
    with pytest.raises(UsageError, match=r"given no part: sub-05"):
        dataset_split(load_recipe("impute"), more, asked(split_file=path))
    lone = Split(frozenset(), (Fold(frozenset("a"), frozenset("b")),))
    with pytest.raises(UsageError, match="needs training"):
        check_split(lone, "b")
    with pytest.raises(UsageError, match="nobody of its validation can be used: sub-b"):
        check_split(lone, "a")


@settings(max_examples=60, deadline=None)
@given(labels=st.sets(LABELS, min_size=2, max_size=40), test=st.sampled_from([0.0, 0.2]))
def test_where_nobody_validates_all_but_the_tested_teach(labels, test):
    split = draw_split(sorted(labels), test=test, validation=0.0, folds=1, seed=3)
    (fold,) = split.folds
    assert not fold.validation
    assert fold.training
    assert fold.training | split.test == labels
    assert bool(split.test) == (test > 0)
    assert not [line for line in shortages(split, {p: {"T1w"} for p in labels}) if "valid" in line]
    check_prepared(split, labels)


def test_that_nobody_validates_is_said(tmp_path: Path):
    path = tmp_path / "split.tsv"
    path.write_text("participant_id\tpart\nsub-01\ttraining\nsub-02\ttraining\nsub-03\ttest\n")
    found = Discovery(tuple(visit(label) for label in ("01", "02", "03")))
    split, notes = dataset_split(load_recipe("impute"), found, asked(split_file=path))
    assert split.folds[0].training == {"01", "02"}
    assert any("no participant validates" in note for note in notes)
