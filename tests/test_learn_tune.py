"""Tuning: validation participants alone, one study for many calls, and a recipe at the end."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from learn_toys import make_visit, minus_error, toy_recipe, toy_split

from bids_synth.core.settings import Settings
from bids_synth.core.visit import Prepared
from bids_synth.errors import UsageError
from bids_synth.learn.fit import tune as searching
from bids_synth.learn.fit.tune import Trial, Tuned, journal_of, tune
from bids_synth.pipeline.tune import trial_rows, tune_and_report, tuned_recipe
from bids_synth.recipe.recipe import Recipe, load_recipe, validate_recipe
from bids_synth.report.figures.tune import write_tune_figures

SPACE = {
    "fit.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "network.filters": {"choices": [4, 8]},
}


def searched(space: dict | None = None, **fit: object) -> Recipe:
    """The toy recipe with a search space."""
    data = toy_recipe(**({"steps": 2, "steps_per_epoch": 1} | fit)).model_dump(mode="json")
    return validate_recipe(data | {"tune": SPACE if space is None else space}, origin="toy")


def people(folder: Path) -> list[Prepared]:
    return [make_visit(folder / "prepared", p, shape=(18, 18, 18)) for p in "abez"]


def search(folder: Path, trials: int, recipe: Recipe | None = None, **options: object) -> Tuned:
    given = {"work": folder / "work", "seed": 1, "device": "cpu", "quiet": True} | options
    split = toy_split("ab")
    return tune(recipe or searched(), people(folder), split, minus_error, trials=trials, **given)


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tuned, Tuned]:
    folder = tmp_path_factory.mktemp("twice")
    return folder, search(folder, 3), search(folder, 4)


def test_a_second_call_goes_on_with_the_same_study(twice) -> None:
    folder, first, second = twice
    assert [t.number for t in first.trials] == [0, 1, 2]
    assert second.trials[:3] == first.trials
    assert len(second.trials) == 4
    assert second.best.score == max(t.score for t in second.trials)
    assert len({t.values["fit.learning_rate"] for t in second.trials}) == 4
    assert [p.name for p in (folder / "work/tune").iterdir()] == ["impute.journal"]


def test_values_keep_to_the_search_space(twice) -> None:
    for trial in twice[2].trials:
        assert 1e-4 <= trial.values["fit.learning_rate"] <= 1e-2
        assert trial.values["network.filters"] in (4, 8)
        assert trial.epochs == 2


def test_the_best_values_are_a_recipe_that_loads(twice, tmp_path: Path) -> None:
    best = tuned_recipe(searched(), twice[2])
    path = tmp_path / "mine.toml"
    path.write_text(best.to_toml())
    loaded = load_recipe(path)
    assert loaded.name == "impute-tuned"
    assert loaded.fit.learning_rate == twice[2].best.values["fit.learning_rate"]
    assert loaded.network.filters == twice[2].best.values["network.filters"]
    assert loaded.fit.members == searched().fit.members


def test_another_seed_another_study_and_the_same_seed_the_same_values(tmp_path, monkeypatch):
    monkeypatch.setattr(searching, "fit_fold", lambda *_, **__: None)
    monkeypatch.setattr(searching.Member, "fitted", lambda self: {"score": 1.0})
    one, again = search(tmp_path / "1", 4), search(tmp_path / "2", 4)
    assert [t.values for t in one.trials] == [t.values for t in again.trials]
    other = search(tmp_path / "1", 1, seed=2)
    assert len(other.trials) == 1


def test_images_of_test_participants_are_never_opened(tmp_path: Path, monkeypatch) -> None:
    prepared = people(tmp_path)
    (held,) = (p for p in prepared if p.visit.participant == "z")
    for path in (*held.images.values(), held.mask, held.native_mask, held.template):
        path.unlink(missing_ok=True)
    seen = []
    real = searching.fit_fold

    def spy(members, visits, *arguments, **options):
        seen.extend(v.visit.participant for v in visits)
        return real(members, visits, *arguments, **options)

    monkeypatch.setattr(searching, "fit_fold", spy)
    options = {"work": tmp_path / "work", "seed": 1, "device": "cpu", "quiet": True}
    tuned = tune(searched(), prepared, toy_split("ab"), minus_error, trials=1, **options)
    assert tuned.best
    assert set(seen) == {"a", "b", "e"}


def test_a_bad_trial_is_stopped_early_and_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(searching, "UNPRUNED", 1)
    monkeypatch.setattr(searching, "FIRST_EPOCHS", 0)
    good = searched(steps=3)
    search(tmp_path, 1, good)

    def awful(*_: object) -> float:
        return -1000.0

    options = {"work": tmp_path / "work", "seed": 1, "device": "cpu", "quiet": True}
    tuned = tune(good, people(tmp_path), toy_split("ab"), awful, trials=2, **options)
    assert [t.state for t in tuned.trials] == ["complete", "pruned"]
    assert tuned.trials[1].epochs == 1
    assert tuned.trials[1].score is None
    assert tuned.best.number == 0
    assert [p.name for p in (tmp_path / "work/tune").iterdir()] == ["impute.journal"]


def test_choices_may_be_lists_and_are_checked_against_the_recipe(tmp_path: Path) -> None:
    space = {
        "fit.patch": {"choices": [[16, 16, 16], [24, 24, 24]]},
        "network.blocks": {"choices": [[1, 1, 1, 1, 1, 1], [1, 1]]},
    }
    with pytest.raises(UsageError, match="not divisible"):
        searched(space).check_search()
    space["network.blocks"]["choices"] = [[1, 1, 1, 1], [1, 1]]
    searched(space).check_search()


def test_an_interrupted_trial_is_told_to_the_study(tmp_path: Path, monkeypatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(searching, "fit_fold", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path, 1)
    assert [t.state for t in search(tmp_path, 1).trials] == ["fail", "complete"]


def test_a_trial_of_a_killed_job_does_not_count(tmp_path: Path, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(searching, "fit_fold", lambda *_, **__: None)
        patched.setattr(searching.Member, "fitted", lambda self: {"score": 1.0})
        search(tmp_path, 1)
        # Killed between the beginning and the end of its second trial.
        patched.setattr(searching, "_attempt", lambda *_: (_ for _ in ()).throw(SystemExit))
        patched.setattr(searching, "_own_job", lambda: [socket.gethostname(), 2**22 + 1, 0.0])
        with pytest.raises(SystemExit):
            search(tmp_path, 2)
        assert [t.state for t in search(tmp_path, 0).trials] == ["complete", "fail"]
        patched.setattr(searching, "_own_job", lambda: ["another computer", 1, 0.0])
        with pytest.raises(SystemExit):
            search(tmp_path, 2)
    states = [t.state for t in search(tmp_path, 2).trials]
    assert states == ["complete", "fail", "running"], "it may still run on the other computer"
    assert [t.state for t in search(tmp_path, 3).trials] == [*states, "complete"]


def test_a_job_that_comes_too_late_leaves_no_trial_that_counts(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(searching, "fit_fold", lambda *_, **__: None)
    monkeypatch.setattr(searching.Member, "fitted", lambda self: {"score": 1.0})
    search(tmp_path, 2)
    real, late = searching._counted, [0]

    def slow(ledger, before=None):
        return late.pop() if late else real(ledger, before)

    monkeypatch.setattr(searching, "_counted", slow)
    assert [t.state for t in search(tmp_path, 2).trials] == ["complete", "complete", "fail"]


def test_steps_are_round_numbers(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(searching, "fit_fold", lambda *_, **__: None)
    monkeypatch.setattr(searching.Member, "fitted", lambda self: {"score": 1.0})
    tuned = search(tmp_path, 12, searched({"fit.flip": {"low": 0.0, "high": 0.9, "step": 0.1}}))
    values = {t.values["fit.flip"] for t in tuned.trials}
    assert len(values) > 4
    assert values <= {n / 10 for n in range(10)}


def test_what_cannot_be_tuned_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no section \[tune\]"):
        search(tmp_path, 1, searched({}))
    with pytest.raises(UsageError, match="--fold 3: the split has folds 0 to 0"):
        search(tmp_path, 1, fold=3)


SHARED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_learn_tune import search
search(Path(sys.argv[2]), 4)
"""


@pytest.mark.slow
def test_two_processes_share_a_study(tmp_path: Path) -> None:
    people(tmp_path)
    command = [sys.executable, "-c", SHARED, str(Path(__file__).parent), str(tmp_path)]
    jobs = [subprocess.Popen(command) for _ in range(2)]
    assert [job.wait(timeout=600) for job in jobs] == [0, 0]
    tuned = search(tmp_path, 0)
    assert [t.number for t in tuned.trials] == [0, 1, 2, 3]
    assert {t.state for t in tuned.trials} == {"complete"}
    assert len({t.values["fit.learning_rate"] for t in tuned.trials}) == 4
    assert journal_of(searched(), tmp_path / "work").is_file()


def test_figures_show_importance_and_the_plane_of_the_two_that_matter(tmp_path: Path) -> None:
    trials = [
        Trial(n, "complete", n % 5 + 0.1 * n, 2, 1.0,
              {"fit.learning_rate": 10 ** (-4 + (n % 5) / 4), "network.filters": (4, 8)[n % 2]})
        for n in range(12)
    ]  # fmt: skip
    trials.append(replace(trials[0], number=12, state="pruned", score=None))
    importance = {"fit.learning_rate": 0.9, "network.filters": 0.1}
    rows = trial_rows(Tuned(tuple(trials), importance, trials[4]), searched())
    choices, logs = {"network.filters": (4, 8)}, ["fit.learning_rate"]
    paths = write_tune_figures(rows, importance, tmp_path, choices=choices, logs=logs)
    assert [p.name for p in paths] == ["history.svg", "importance.svg", "contour.svg"]
    text = paths[2].read_text()
    assert "fit.learning_rate" in text
    assert "network.filters" in text
    assert write_tune_figures(rows.iloc[12:], {}, tmp_path / "b", choices=choices) == []


def test_a_run_writes_table_figures_and_recipe_and_no_model(tmp_path: Path) -> None:
    run = {"work": tmp_path / "work", "device": "cpu", "tune": 4}
    asked = Settings(tmp_path, tmp_path / "out", "group", **run)
    summary = tune_and_report(searched(), people(tmp_path), toy_split("ab"), asked)
    folder = tmp_path / "out/models/impute-tune"
    written = {p.name for p in folder.iterdir()}
    assert {"trials.tsv", "history.svg", "impute-tuned.toml"} <= written
    assert {"importance.svg", "contour.svg"} <= written
    assert len((folder / "trials.tsv").read_text().splitlines()) == 5
    assert load_recipe(folder / "impute-tuned.toml").name == "impute-tuned"
    assert str(folder / "impute-tuned.toml") in summary.text()
    assert not (tmp_path / "out/models/impute").exists()
