"""Preemption: SIGTERM or SIGUSR1 ends a fit within a step, and it goes on to the same bits."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from learn_kill import curve, fit_toys

from bids_synth.learn.fit import loop
from bids_synth.learn.fit.selection import Selection
from bids_synth.system.signals import Preempted, held, obeying, released

CASES = [
    ("regression", signal.SIGTERM),
    ("conditional-gan", signal.SIGUSR1),
    ("cycle-gan", signal.SIGTERM),
]


def ask(number: int = signal.SIGTERM) -> None:
    """What a scheduler does to this process."""
    os.kill(os.getpid(), number)


def asking(function: Callable, nth: int, number: int) -> Callable:
    """The function, after whose n-th call begins the scheduler asks."""
    left = [nth]

    def asked_in(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            ask(number)
        return function(*arguments, **options)

    return asked_in


def weights_of(folder: Path) -> list[str]:
    from bids_synth.learn.model.model import load_model

    return [w.sha256 for w in load_model(folder / "models" / "toy").card.weights]


def steps_saved(folder: Path) -> int:
    states = folder.glob("work/fit/toy-*/fold-0_member-0/state.ckpt")
    return sum(torch.load(state, weights_only=True)["steps_done"] for state in states)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of an undisturbed fit of an objective, made once."""
    made: dict[str, Path] = {}

    def folder(objective: str) -> Path:
        if objective not in made:
            made[objective] = tmp_path_factory.mktemp(objective)
            fit_toys(made[objective], objective, members=1)
        return made[objective]

    return folder


@pytest.mark.parametrize(("objective", "number"), CASES)
def test_a_fit_ends_with_the_step_and_goes_on_to_the_same_bits(
    objective: str, number: int, undisturbed: Callable[[str], Path], tmp_path: Path
) -> None:
    """Asked twice: inside an epoch, and in the validation that ends another."""
    per_epoch = 4 if objective == "regression" else 2
    inside = per_epoch + 1
    with obeying(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "take_step", asking(loop.take_step, inside, number))
        with pytest.raises(Preempted):
            fit_toys(tmp_path, objective, members=1)
    assert steps_saved(tmp_path) == inside
    with obeying(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Selection, "_score", asking(Selection._score, 1, number))
        with pytest.raises(Preempted):
            fit_toys(tmp_path, objective, members=1)
    assert steps_saved(tmp_path) == 2 * per_epoch
    fit_toys(tmp_path, objective, members=1)
    calm = undisturbed(objective)
    assert weights_of(tmp_path) == weights_of(calm)
    assert curve(tmp_path / "models/toy") == curve(calm / "models/toy")


@pytest.mark.parametrize("step", [1, 4, 11, 12])
def test_any_step_will_do(step: int, undisturbed: Callable[[str], Path], tmp_path: Path) -> None:
    """The first, the last of an epoch, the last but one and the last of all."""
    with obeying(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "take_step", asking(loop.take_step, step, signal.SIGTERM))
        with pytest.raises(Preempted):
            fit_toys(tmp_path, members=1)
    assert steps_saved(tmp_path) == step
    fit_toys(tmp_path, members=1)
    assert weights_of(tmp_path) == weights_of(undisturbed("regression"))
    assert curve(tmp_path / "models/toy") == curve(undisturbed("regression") / "models/toy")


def test_a_state_that_an_older_version_left_is_not_taken_up(
    undisturbed: Callable[[str], Path], tmp_path: Path
) -> None:
    with obeying(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "take_step", asking(loop.take_step, 5, signal.SIGTERM))
        with pytest.raises(Preempted):
            fit_toys(tmp_path, members=1)
    (state,) = tmp_path.glob("work/fit/toy-*/fold-0_member-0/state.ckpt")
    state.rename(state.with_name("last.ckpt")).write_bytes(b"of another layout")
    fit_toys(tmp_path, members=1)
    assert weights_of(tmp_path) == weights_of(undisturbed("regression"))
    assert curve(tmp_path / "models/toy") == curve(undisturbed("regression") / "models/toy")


def test_outside_a_fit_the_signal_ends_the_run_at_once_and_handlers_come_back() -> None:
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1)]
    with obeying(), pytest.raises(Preempted):
        ask()
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1)] == before


def test_what_is_held_comes_to_its_end() -> None:
    done = []

    def work() -> None:
        with held():
            ask(signal.SIGUSR1)
            done.append("held")
            with pytest.raises(Preempted), released():
                done.append("was not asked")
            done.append("to its end")
        done.append("went on")

    with obeying(), pytest.raises(Preempted):
        work()
    assert done == ["held", "to its end"]


def test_a_child_ignores_sigusr1_and_ends_by_sigterm() -> None:
    """Both go to all processes of a job at once."""
    with obeying():
        child = os.fork()
        if child == 0:
            ask(signal.SIGUSR1)
            ask(signal.SIGTERM)
            os._exit(1)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
