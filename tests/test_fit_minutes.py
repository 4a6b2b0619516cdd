"""A fit of so many minutes: arithmetic by hypothesis, a trial that leaves nothing, one choice."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learn_toys import make_visit, minus_error, toy_recipe, toy_split

from bids_synth.cli.parser import build_parser
from bids_synth.cli.resolve import resolve
from bids_synth.core.visit import Prepared
from bids_synth.errors import UsageError
from bids_synth.learn import budget
from bids_synth.learn.budget import LOOKS, recipe_within, steps_within
from bids_synth.recipe.recipe import Recipe


@given(
    st.floats(0.1, 1e6), st.integers(1, 20), st.floats(1e-4, 100), st.floats(0, 100)
)  # fmt: skip
def test_steps_and_looks_fill_the_time_and_no_more(seconds, networks, step, look):
    def taken(steps: int) -> float:
        return networks * (steps * step + (LOOKS + 1) * look)

    try:
        steps = steps_within(seconds, networks, step, look)
    except UsageError:
        assert taken(LOOKS) > seconds * (1 - 1e-9)
        return
    assert taken(steps) <= seconds * (1 + 1e-9)
    assert taken(steps + 1) > seconds * (1 - 1e-9)


def toys(folder: Path) -> list[Prepared]:
    return [make_visit(folder / "prepared", participant) for participant in "abcdez"]


def chosen(prepared: list[Prepared], work: Path, *, minutes: float, resume: bool = True) -> Recipe:
    return recipe_within(
        toy_recipe(steps=5), prepared, toy_split(), minus_error,
        minutes=minutes, name="toy", work=work, seed=1, device="cpu", resume=resume,
    )  # fmt: skip


def test_a_trial_leaves_a_number_that_the_next_run_takes_up(tmp_path, monkeypatch):
    prepared = toys(tmp_path)
    spent = [(0.5, 1.0), (0.25, 1.0), (0.25, 1.0)]
    monkeypatch.setattr(budget, "trial", lambda *_, **__: spent.pop(0))
    first = chosen(prepared, tmp_path / "work", minutes=10)
    members = first.fit.members
    assert first.fit.steps == steps_within(600, members, 0.5, 1.0)
    assert first.fit.steps <= LOOKS * first.fit.steps_per_epoch < first.fit.steps + LOOKS
    assert chosen(prepared, tmp_path / "work", minutes=10).fit.steps == first.fit.steps
    other = chosen(prepared, tmp_path / "work", minutes=20)
    assert other.fit.steps == steps_within(1200, members, 0.25, 1.0)
    again = chosen(prepared, tmp_path / "work", minutes=10, resume=False)
    assert again.fit.steps > first.fit.steps
    left = [path.name for path in (tmp_path / "work" / "fit").iterdir()]
    assert len(left) == 2
    assert all(name.startswith("minutes-") for name in left)


def test_jobs_side_by_side_choose_once(tmp_path, monkeypatch):
    prepared, asked = toys(tmp_path), []

    def slow(*_: object, **__: object) -> tuple[float, float]:
        asked.append(1)
        time.sleep(0.3)
        return 0.5 / len(asked), 1.0

    monkeypatch.setattr(budget, "trial", slow)
    child = os.fork()  # A lock of files is between processes.
    if child == 0:
        chosen(prepared, tmp_path / "work", minutes=10)
        os._exit(len(asked))
    mine = chosen(prepared, tmp_path / "work", minutes=10)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code + len(asked) == 1, "both measured"
    assert mine.fit.steps == steps_within(600, mine.fit.members, 0.5, 1.0)


def test_a_trial_takes_real_steps_and_looks(tmp_path):
    recipe = chosen(toys(tmp_path), tmp_path / "work", minutes=1)
    assert recipe.fit.steps > LOOKS
    assert recipe.taught() != toy_recipe(steps=5).taught()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("group", "--fit-minutes", "0"), "above 0"),
        (("group", "--fit-minutes", "nan"), "above 0"),
        (("group", "--fit-minutes", "5", "--set", "fit.steps=3"), "remove --set fit.steps"),
        (("group", "--fit-minutes", "5", "--tune", "3"), "does not go with --tune"),
        (("participant", "--fit-minutes", "5"), "is for group"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, words, said):
    (tmp_path / "bids").mkdir()
    places = [str(tmp_path / "bids"), str(tmp_path / "out")]
    with pytest.raises(UsageError, match=said):
        resolve(build_parser().parse_args([*places, *words, "-w", str(tmp_path / "work")]))
