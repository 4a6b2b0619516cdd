"""Splits: disjoint by construction, and any attempt to leak fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_synth.core.split import PARTS, Fold, Split, read_split
from bids_synth.errors import UsageError

labels = st.text("0123456789abcAB", min_size=1, max_size=5)


@given(st.dictionaries(labels, st.sampled_from(PARTS), min_size=3))
def test_tsv_round_trip(parts: dict[str, str]) -> None:
    import tempfile

    named = {part: frozenset(p for p, q in parts.items() if q == part) for part in PARTS}
    if not named["training"] or not named["validation"]:
        return
    split = Split(named["test"], (Fold(named["training"], named["validation"]),))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "split.tsv")
        path.write_text(split.to_tsv())
        assert read_split(path) == split


@pytest.mark.parametrize(
    ("test", "training", "validation", "shared"),
    [
        ({"1"}, {"1", "2"}, {"3"}, "training and test"),
        ({"1"}, {"2"}, {"1", "3"}, "validation and test"),
        (set(), {"2", "3"}, {"3"}, "training and validation"),
    ],
)
def test_a_participant_in_two_parts_is_refused(
    test: set[str], training: set[str], validation: set[str], shared: str
) -> None:
    with pytest.raises(ValueError, match=shared):
        Split(frozenset(test), (Fold(frozenset(training), frozenset(validation)),))


def test_a_participant_in_test_in_one_fold_and_training_in_another_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "split.tsv"
    path.write_text(
        "participant_id\tfold-0\tfold-1\nsub-1\ttest\ttraining\n"
        "sub-2\ttraining\tvalidation\nsub-3\tvalidation\ttraining\n"
    )
    with pytest.raises(UsageError, match="training and test"):
        read_split(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("participant_id,part\n1,test\n", "tab-separated"),
        ("participant_id\tpart\nsub-1\ttrain\n", "unknown parts"),
        ("participant_id\tpart\nsub-1\ttest\nsub-1\ttraining\n", "listed twice"),
        ("participant_id\tpart\nsub-1\ttest\n", "needs training participants"),
    ],
)
def test_a_faulty_split_file_is_explained(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text(text)
    with pytest.raises(UsageError, match=told) as caught:
        read_split(path)
    assert str(path) in str(caught.value)
