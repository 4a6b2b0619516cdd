"""participants.tsv: what it says, and what becomes of one that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_synth.bids.raw.traits import read_traits


def test_rows_are_found_by_label_and_unknown_values_left_out(tmp_path: Path) -> None:
    text = "participant_id\tsite\tage\nsub-01\tnorth\t30\n02\tn/a\t 41 \n"
    (tmp_path / "participants.tsv").write_text(text)
    traits, notes = read_traits(tmp_path)
    assert traits == {"01": {"site": "north", "age": "30"}, "02": {"age": "41"}}
    assert notes == []


def test_a_table_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    assert read_traits(tmp_path) == ({}, [])


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"subject,age\n01,3\n", "no column participant_id"), (b"\xff\xfe\x00", "cannot be read")],
)
def test_a_malformed_table_is_named_and_ignored(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "participants.tsv").write_bytes(content)
    traits, (note,) = read_traits(tmp_path)
    assert traits == {}
    assert told in note
    assert "participants.tsv" in note


def test_ragged_rows_do_not_break_it(tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-01\nsub-02\t1\t2\n")
    traits, _ = read_traits(tmp_path)
    assert traits == {"01": {}, "02": {"age": "1"}}
