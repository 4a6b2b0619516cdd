"""Stratified splits: as disjoint and complete as plain ones, and alike in site, sex and age."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_synth.bids.raw.query import Discovery
from bids_synth.core.settings import Settings
from bids_synth.core.split import Split
from bids_synth.core.visit import Scan, Visit
from bids_synth.learn.split.folds import draw_split
from bids_synth.learn.split.strata import strata_of
from bids_synth.pipeline.learnable import dataset_split
from bids_synth.recipe.recipe import load_recipe

BY = ("site", "sex", "age")


@st.composite
def datasets(draw):
    """Participant -> site, sex and age, each unknown now and then."""
    total = draw(st.integers(8, 48))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    sites = draw(st.integers(1, 4))
    rows = {}
    for n in range(total):
        row = {
            "Site": f"s{rng.integers(sites)}",
            "sex": str(rng.choice(["F", "M"])),
            "age": f"{rng.normal(40, 15):.1f}",
        }
        rows[f"{n:03d}"] = {k: v if rng.random() > 0.05 else "n/a" for k, v in row.items()}
    return rows


def draw(rows, *, test=0.2, folds=1, seed=1, by=BY):
    return draw_split(
        sorted(rows), test=test, validation=0.15, folds=folds, seed=seed, strata=rows, by=by
    )


def parts_of(split: Split, folds: int) -> list[frozenset[str]]:
    """The parts that do not overlap: test, then every fold's validation, then the training."""
    held = [split.test, *(fold.validation for fold in split.folds)]
    return held if folds > 1 else [*held, split.folds[0].training]


@settings(max_examples=60, deadline=None)
@given(rows=datasets(), test=st.sampled_from([0.0, 0.2, 0.4]), folds=st.integers(1, 5))
def test_balanced_parts_are_disjoint_complete_and_of_the_plain_sizes(rows, test, folds):
    split = draw(rows, test=test, folds=folds)
    parts = parts_of(split, folds)
    assert sorted(p for part in parts for p in part) == sorted(rows)
    rest = len(rows) - len(parts[0])
    assert abs(len(parts[0]) - test * len(rows)) <= 1
    for part in parts[1 : folds + 1]:
        assert abs(len(part) - (rest / folds if folds > 1 else 0.15 * len(rows))) < 1.5
    for fold in split.folds:
        assert fold.training | fold.validation | split.test == set(rows)


@settings(max_examples=60, deadline=None)
@given(rows=datasets(), folds=st.integers(1, 5), seed=st.integers(0, 5))
def test_every_value_is_as_frequent_in_each_part_as_in_all(rows, folds, seed):
    labels = sorted(rows)
    values = strata_of(labels, rows, BY)
    split = draw(rows, folds=folds, seed=seed)
    for column in values.values():
        of = dict(zip(labels, column, strict=True))
        total = Counter(column)
        for part in parts_of(split, folds):
            count = Counter(of[p] for p in part)
            for value, number in total.items():
                expected = number * len(part) / len(labels)
                assert abs(count[value] - expected) < 2


def test_one_column_is_divided_as_evenly_as_whole_numbers_can():
    rows = {f"{n:02d}": {"site": "abc"[n % 3]} for n in range(36)}
    split = draw(rows, test=0.25, folds=3)
    for part in parts_of(split, 3):
        assert Counter(rows[p]["site"] for p in part) == {"a": 3, "b": 3, "c": 3}


def test_plain_splits_of_the_same_dataset_are_not_balanced():
    sites = np.random.default_rng(0).permutation(["a", "b"] * 20)
    rows = {f"{n:02d}": {"site": str(site)} for n, site in enumerate(sites)}

    def worst(by):
        splits = [draw(rows, seed=s, by=by) for s in range(40)]
        return max(abs(Counter(rows[p]["site"] for p in s.test)["a"] - 4) for s in splits)

    assert worst(()) >= 2
    assert worst(("site",)) == 0


@given(rows=datasets(), seed=st.integers(0, 3))
@settings(max_examples=10, deadline=None)
def test_the_same_seed_draws_the_same_split_whatever_the_order(rows, seed):
    turned = dict(reversed(rows.items()))
    assert draw(rows, folds=3, seed=seed) == draw(turned, folds=3, seed=seed)


def test_another_seed_is_another_balanced_split():
    rows = {f"{n:02d}": {"sex": "FM"[n % 2]} for n in range(30)}
    assert len({draw(rows, seed=s).test for s in range(5)}) == 5


@pytest.mark.parametrize(
    "rows", [{}, {"1": {"colour": "red"}}, {str(n): {"sex": "F"} for n in range(9)}]
)
def test_without_telling_columns_the_draw_is_the_plain_one(rows):
    labels = [str(n) for n in range(9)]
    options = {"test": 0.2, "validation": 0.2, "folds": 2, "seed": 4}
    assert draw_split(labels, **options, strata=rows, by=BY) == draw_split(labels, **options)


def test_amounts_are_cut_at_the_median_and_codes_are_not():
    rows = {str(n): {"age": f"{20 + n}", "site": str(n % 2)} for n in range(8)}
    values = strata_of(sorted(rows), rows, BY)
    assert values["age"] == ["low"] * 4 + ["high"] * 4
    assert set(values["site"]) == {"0", "1"}


def test_two_sessions_of_a_participant_fall_together(tmp_path: Path) -> None:
    scans = {m: Scan(m, tmp_path / f"{m}.nii.gz") for m in ("T1w", "T2w")}
    visits = [
        Visit(f"{n:02d}", session, scans, traits={"sex": "FM"[n % 2], "age": str(n)})
        for n in range(12)
        for session in ("a", "b")
    ]
    asked = Settings(tmp_path, tmp_path, "group", tmp_path, folds=3)
    recipe = load_recipe("impute", {"fit.stratify": '["sex", "age"]'})
    split, _ = dataset_split(recipe, Discovery(tuple(visits)), asked)
    for number in range(3):
        parts = {v.label: split.part(v.participant, number) for v in visits}
        assert set(parts.values()) == {"training", "validation", "test"}
        for n in range(12):
            assert parts[f"sub-{n:02d}_ses-a"] == parts[f"sub-{n:02d}_ses-b"]
    sexes = Counter(v.traits["sex"] for v in visits if v.participant in split.test)
    assert max(sexes.values()) - min(sexes["F"], sexes["M"]) <= 2


def test_a_split_file_that_parts_the_sessions_of_a_participant_is_refused(tmp_path: Path) -> None:
    from bids_synth.core.split import read_split
    from bids_synth.errors import UsageError

    path = tmp_path / "split.tsv"
    rows = ["sub-1\tses-a\ttraining", "sub-1\tses-b\ttest", "sub-2\tses-a\tvalidation"]
    path.write_text("participant_id\tsession_id\tpart\n" + "\n".join(rows) + "\n")
    with pytest.raises(UsageError, match="listed twice"):
        read_split(path)
