"""Folds that are fitted side by side put one folder in place, and lose nothing of each other."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from learn_toys import make_visit, minus_error, toy_recipe

from bids_synth.core.split import Fold, Split
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.model.export import _put, member_name
from bids_synth.learn.model.model import load_model

SPLIT = Split(
    test=frozenset("z"),
    folds=(Fold(frozenset("ab"), frozenset("c")), Fold(frozenset("bc"), frozenset("a"))),
)


def test_a_fold_that_is_finished_leaves_the_logs_of_one_that_is_not(tmp_path: Path) -> None:
    people = [make_visit(tmp_path / "data", p, shape=(20, 20, 20)) for p in "abcz"]
    folder = tmp_path / "models" / "toy"

    def fit(fold: int | None):
        return fit_model(
            toy_recipe(steps=1, steps_per_epoch=1, members=1), people, SPLIT, minus_error,
            folder=folder, work=tmp_path / "work", seed=1, device="cpu", fold=fold, quiet=True,
        )  # fmt: skip

    running = folder / "logs" / member_name(1, 0)
    stale = folder / "logs" / member_name(7, 0)
    for place in (running, stale):
        place.mkdir(parents=True)
    with (running / "events.out.tfevents.1.host.0").open("w") as events:
        assert [w.fold for w in fit(0).card.weights] == [0]
        events.write("goes on")
    assert (running / "events.out.tfevents.1.host.0").read_text() == "goes on"
    assert not stale.exists(), "logs of another fit are not kept"
    shutil.rmtree(running)
    assert [w.fold for w in fit(1).card.weights] == [0, 1]
    assert list(running.glob("events*"))
    assert [w.fold for w in fit(None).card.weights] == [0, 1]
    assert load_model(folder).sha256 == fit(None).sha256
    assert [p.name for p in folder.parent.iterdir()] == ["toy"]


def test_folders_may_be_swapped_at_the_same_moment(tmp_path: Path) -> None:
    folder = tmp_path / "m"

    def swap(number: int) -> None:
        part = tmp_path / f".part-{number}"
        (part / "logs").mkdir(parents=True)
        (part / "model.json").write_text(str(number))
        _put(part, folder, [])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(swap, range(200)))
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    assert sorted(p.name for p in folder.iterdir()) == ["logs", "model.json"]
