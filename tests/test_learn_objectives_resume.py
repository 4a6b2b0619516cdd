"""A fit of any objective that was interrupted ends in the very state of one that was not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from learn_kill import fit_toys
from learn_objective_toys import OBJECTIVES as TOYS

from bids_synth.learn.fit import loop
from bids_synth.learn.objectives import OBJECTIVES
from bids_synth.learn.objectives.cycle_gan import CycleGan
from bids_synth.learn.objectives.objective import Objective

TESTS = Path(__file__).resolve().parent
MEASURED = {"data_wait_fraction", "seconds"}


class InterruptionError(Exception):
    """What stops a fit here."""


@pytest.fixture(scope="module", autouse=True)
def _kept():
    """Every state that is written is copied beside its place: the last one would be removed."""
    save = loop.save_state

    def save_and_keep(fabric, path, *parts):
        save(fabric, path, *parts)
        shutil.copyfile(path, path.parents[3] / "state.ckpt")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "save_state", save_and_keep)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Objective -> state in which an undisturbed fit ends."""
    known = {}

    def found(objective):
        if objective not in known:
            folder = tmp_path_factory.mktemp(objective)
            fit_toys(folder, objective, members=1)
            known[objective] = compared(folder)
        return known[objective]

    return found


def fit_until(step, folder, objective, monkeypatch):
    """Fit, interrupted inside the given step (from 0), after gradients have been taken."""
    descend = loop.descend

    def interrupted(fabric, optimizer, loss, number):
        descend(fabric, optimizer, loss, number)
        if number == step:
            raise InterruptionError

    with monkeypatch.context() as patch:
        patch.setattr(loop, "descend", interrupted)
        with pytest.raises(InterruptionError):
            fit_toys(folder, objective, members=1)


def state(folder):
    return torch.load(folder / "work" / "state.ckpt", weights_only=True)


def differences(one, other, where=""):
    """Places at which two nested states differ; measured times are left out."""
    if isinstance(one, dict):
        return [f"{where}/{key}" for key in one.keys() ^ other.keys()] + [
            d
            for key in one.keys() & other.keys()
            if key not in MEASURED
            for d in differences(one[key], other[key], f"{where}/{key}")
        ]
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return [where]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for n, (a, b) in pairs for d in differences(a, b, f"{where}/{n}")]
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [where]
    return [] if one == other or one != one else [where]


def compared(folder):
    """All that decides how a fit goes on."""
    return state(folder)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_interrupted_fit_ends_in_the_same_state(objective, whole, tmp_path, monkeypatch):
    """Interrupted in the second epoch, from which on all players learn, and in the third."""
    epoch = 4 if objective == "regression" else 2
    for step in (epoch + 1, 2 * epoch + 1):
        fit_until(step, tmp_path, objective, monkeypatch)
    model = fit_toys(tmp_path, objective, members=1)
    one, other = whole(objective), compared(tmp_path)
    assert not differences(one, other)
    assert one["steps_done"] == 3 * epoch
    assert len(one["optimizers"]) == (1 if objective == "regression" else 2)
    assert all(s["state"] for s in one["optimizers"])
    rows = [line.split("\t") for line in (model.folder / "training.tsv").read_text().splitlines()]
    assert [row[3] for row in rows[1:]] == [str(epoch * n) for n in (1, 2, 3)]
    assert rows[0][7:9] == ["discriminator_loss", "discriminator_accuracy"]
    assert (rows[3][7:9] == ["n/a", "n/a"]) == (objective == "regression")
    (network,) = model.networks()
    assert not any("discriminator" in n for n, _ in network.named_parameters())


def test_the_comparison_can_tell_a_lost_pool(whole, tmp_path, monkeypatch):
    one = whole("cycle-gan")
    assert [len(pool) for pool in one["pools"]] == [3, 3]
    names = {n.split(".")[0] for n in one["weights"]}
    assert names == {"network", "average", "discriminators"}
    monkeypatch.setattr(CycleGan, "resume", Objective.resume)
    fit_until(5, tmp_path, "cycle-gan", monkeypatch)
    fit_toys(tmp_path, "cycle-gan", members=1)
    found = differences(one, compared(tmp_path))
    assert any(place.startswith("/pools") for place in found)
    assert any(place.startswith("/weights/discriminators") for place in found)


@pytest.mark.slow
@pytest.mark.parametrize("objective", TOYS)
def test_a_killed_fit_ends_at_the_same_bits(objective, tmp_path):
    """A process killed inside a step of the second member's second epoch."""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    command = [sys.executable, str(TESTS / "learn_kill.py"), str(tmp_path / "b"), "step", "10"]
    done = subprocess.run(
        [*command, objective], env={**os.environ, "PYTHONPATH": paths}, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    whole, resumed = (fit_toys(tmp_path / name, objective) for name in "ab")
    cards = [json.loads((m.folder / "model.json").read_text()) for m in (whole, resumed)]
    assert cards[0]["weights"] == cards[1]["weights"]
