"""Folds that are fitted side by side put one folder in place, and lose nothing of each other."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from learn_toys import make_visit, minus_error, toy_recipe
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bids_synth.core.split import Fold, Split
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.fit.selection import Score
from bids_synth.learn.model.export import _put, member_name
from bids_synth.learn.model.model import load_model

SPLIT = Split(
    test=frozenset("z"),
    folds=(Fold(frozenset("ab"), frozenset("c")), Fold(frozenset("bc"), frozenset("a"))),
)


def test_a_fit_writes_nothing_where_other_folds_put_the_model(tmp_path: Path) -> None:
    """The folder may be away at any moment: another fold swaps it for its own."""
    people = [make_visit(tmp_path / "data", p, shape=(20, 20, 20)) for p in "abcz"]
    folder = tmp_path / "models" / "toy"

    def fit(fold: int | None, score: Score = minus_error):
        return fit_model(
            toy_recipe(steps=3, steps_per_epoch=1, members=1), people, SPLIT, score,
            folder=folder, work=tmp_path / "work", seed=1, device="cpu", fold=fold, quiet=True,
        )  # fmt: skip

    def away(*arguments: Any) -> float:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.2)  # Events are written by a thread of their own.
        assert not folder.exists()
        return minus_error(*arguments)

    assert [w.fold for w in fit(0, away).card.weights] == [0]
    assert [w.fold for w in fit(1).card.weights] == [0, 1]
    for fold in (0, 1):
        (events,) = (folder / "logs" / member_name(fold, 0)).glob("events*")
        read = EventAccumulator(str(events)).Reload()
        assert [e.step for e in read.Scalars("epoch/loss")] == [1, 2, 3]
    assert load_model(folder).sha256 == fit(None).sha256
    assert [p.name for p in folder.parent.iterdir()] == ["toy"]


def test_folders_may_be_swapped_at_the_same_moment(tmp_path: Path) -> None:
    folder = tmp_path / "m"

    def swap(number: int) -> None:
        part = tmp_path / f".part-{number}"
        (part / "logs").mkdir(parents=True)
        (part / "model.json").write_text(str(number))
        _put(part, folder)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(swap, range(200)))
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    assert sorted(p.name for p in folder.iterdir()) == ["logs", "model.json"]
