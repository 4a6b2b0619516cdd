"""Fits that meet another fit of the same model, or a machine without memory."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest
from faults_house import (
    LACKING,
    end_of,
    in_child,
    light_steps,
    make_house,
    participant,
    start,
    tree,
)
from learn_kill import curve, die_in, fit_toys

from bids_synth.learn.fit import loop
from bids_synth.learn.model.model import load_model
from bids_synth.learn.synthesize import Synthesizer

pytestmark = pytest.mark.slow


def fit(folder: Path) -> int:
    fit_toys(folder)
    return 0


def slow_fit(folder: Path) -> int:
    """A fit whose first step tells that it is there, and waits."""
    step = loop.take_step

    def waiting(*args):
        if not (folder / "begun").exists():
            (folder / "begun").touch()
            time.sleep(2)
        return step(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "take_step", waiting)
        return fit(folder)


def weights_of(folder: Path) -> list[str]:
    return [w.sha256 for w in load_model(folder / "models/toy").card.weights]


def test_two_jobs_that_fit_one_model_take_turns_and_end_at_one(tmp_path: Path) -> None:
    assert in_child(lambda: fit(tmp_path / "calm")) == 0
    place = tmp_path / "both"
    place.mkdir()
    first = start(lambda: slow_fit(place))
    while not (place / "begun").exists():
        time.sleep(0.01)
    second = start(lambda: fit(place))
    assert (end_of(first), end_of(second)) == (0, 0)
    assert weights_of(place) == weights_of(tmp_path / "calm")
    assert curve(place / "models/toy") == curve(tmp_path / "calm/models/toy")
    assert not list((place / "work/fit").rglob("*.ckpt"))


def test_a_job_that_waits_for_one_that_is_killed_goes_on_where_that_was(tmp_path: Path) -> None:
    assert in_child(lambda: fit(tmp_path / "calm")) == 0
    place = tmp_path / "both"
    place.mkdir()

    def doomed() -> int:
        die_in("step", 9)
        return slow_fit(place)

    first = start(doomed)
    while not (place / "begun").exists():
        time.sleep(0.01)
    second = start(lambda: fit(place))
    assert (end_of(first), end_of(second)) == (-signal.SIGKILL, 0)
    assert weights_of(place) == weights_of(tmp_path / "calm")
    assert curve(place / "models/toy") == curve(tmp_path / "calm/models/toy")


def test_memory_that_is_refused_fails_that_visit_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As numpy does where the machine has no more: y and z are whole afterwards."""
    place = make_house(tmp_path / "house")
    undisturbed = Path(shutil.copytree(place, tmp_path / "undisturbed"))
    calls = []
    whole = Synthesizer.synthesize

    def short(self, visit, *args, **options):
        calls.append(visit.label)
        if len(calls) == 1:
            raise MemoryError
        return whole(self, visit, *args, **options)

    with light_steps():
        assert participant(undisturbed, people=LACKING) == 0
        capfd.readouterr()
        monkeypatch.setattr(Synthesizer, "synthesize", short)
        assert participant(place, people=LACKING) == 1
        told = capfd.readouterr()
        assert f"{calls[0]}: out of memory; give the job more memory" in told.out + told.err
        assert "Traceback" not in told.out + told.err
        assert len(list((place / "out").rglob("*desc-synth_T2w.nii.gz"))) == 1
        assert participant(place, people=LACKING) == 0
    assert tree(place / "out") == tree(undisturbed / "out")
