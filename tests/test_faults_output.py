"""Runs that are killed while they write, or that meet another run of the same visit."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults_house import (
    assert_whole,
    die,
    end_of,
    in_child,
    light_region,
    light_steps,
    make_house,
    no_parts,
    participant,
    start,
    tree,
)

from bids_synth.pipeline.visit.write import VisitWriter
from bids_synth.spatial.volume import write_text, write_volume
from bids_synth.system.atomic import _SWEPT, atomic_write

pytestmark = pytest.mark.slow


def count_renames(action: Callable[[], int], output: Path, at: dict[int, str]) -> int:
    """How many files of an output appear in an action; dies before or after those named."""
    rename, count = os.replace, 0

    def counting(source, target):
        nonlocal count
        count += str(target).startswith(str(output))
        if at.get(count) == "before":
            die()
        rename(source, target)
        if at.get(count) == "after":
            die()

    with pytest.MonkeyPatch.context() as patch, light_steps():
        patch.setattr(os, "replace", counting)
        assert action() == 0
    return count


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_house(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module")
def calm(house: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], int]:
    """The output of z of an undisturbed run, and how many files appeared in it."""
    place = tmp_path_factory.mktemp("calm") / "place"
    shutil.copytree(house, place)
    count = count_renames(lambda: participant(place), place / "out", {})
    return tree(place / "out"), count


@pytest.fixture
def place(house: Path, tmp_path: Path) -> Path:
    """A copy of the house, nothing done in it yet."""
    return Path(shutil.copytree(house, tmp_path / "place"))


def go_on(place: Path) -> int:
    """The same command again, as in a process of its own."""
    _SWEPT.clear()
    with light_steps():
        return participant(place)


def is_running(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_a_run_killed_while_it_writes_is_finished_by_the_next(
    share: float, place: Path, calm: tuple[dict[str, str], int]
) -> None:
    """Killed at the first, the last and some files between: before a rename or after it."""
    files, count = calm
    number = 1 + round(share * (count - 1))
    when = random.Random(number).choice(["before", "after"])
    run = in_child(
        lambda: count_renames(lambda: participant(place), place / "out", {number: when})
    )
    assert run == -signal.SIGKILL
    assert_whole(place / "out")
    assert go_on(place) == 0
    assert tree(place / "out") == files
    assert no_parts(place)


def test_a_run_killed_at_any_moment_is_finished_by_the_next(
    place: Path, calm: tuple[dict[str, str], int]
) -> None:
    """By the clock, again and again, each time a little later."""
    patience, ends = 0.2, []
    while not ends or ends[-1] == -signal.SIGKILL:
        run = start(lambda: go_on(place))
        stop = time.monotonic() + patience
        while time.monotonic() < stop and is_running(run):
            time.sleep(0.01)
        os.kill(run, signal.SIGKILL)
        ends.append(end_of(run))
        assert_whole(place / "out")
        patience *= 1.7
    assert ends[-1] == 0
    assert len(ends) > 1
    assert go_on(place) == 0
    assert tree(place / "out") == calm[0]
    assert no_parts(place)


def test_an_image_of_another_model_is_not_left_with_the_words_of_this_one(place: Path) -> None:
    """Killed between the new sidecar and the new image."""
    with light_steps():
        assert participant(place) == 0
    before = tree(place / "out")
    (image,) = place.glob("out/sub-z/anat/*_desc-synth_T2w.nii.gz")
    old, block = image.read_bytes(), VisitWriter.block

    def other_model() -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(VisitWriter, "block", lambda *a: block(*a) | {"WeightsSHA256": "0" * 64})
            patch.setattr(
                "bids_synth.bids.derivatives.synthetic.write_volume",
                lambda v, path: die() if path == image else write_volume(v, path),
            )
            return go_on(place)

    assert in_child(other_model) == -signal.SIGKILL
    assert not image.exists() or image.read_bytes() != old, "an old image with new words"
    assert go_on(place) == 0
    assert tree(place / "out") == before


def test_two_jobs_on_one_visit_that_share_a_work_directory_take_turns(
    place: Path, calm: tuple[dict[str, str], int], capfd: pytest.CaptureFixture[str]
) -> None:
    inside = place / "inside"

    def slow(reference, modality, part, **options):
        assert not inside.exists(), "both prepare the visit at once"
        inside.touch()
        time.sleep(1.0)
        made = light_region(reference, modality, part, **options)
        inside.unlink()
        return made

    def job() -> int:
        with light_steps(slow):
            return participant(place)

    first = start(job)
    while not inside.exists():
        time.sleep(0.01)
    second = start(job)
    assert (end_of(first), end_of(second)) == (0, 0)
    assert "another job prepares sub-z here; waiting for it" in capfd.readouterr().err
    assert tree(place / "out") == calm[0]
    assert no_parts(place)


def test_two_jobs_on_one_visit_with_work_directories_of_their_own_write_the_same(
    place: Path, calm: tuple[dict[str, str], int]
) -> None:
    def job(name: str) -> int:
        def together(reference, modality, part, **options):
            (place / name).touch()
            while not all((place / other).exists() for other in "12"):
                time.sleep(0.01)
            return light_region(reference, modality, part, **options)

        with light_steps(together):
            return participant(place, "--work-dir", place / f"work{name}")

    both = [start(lambda name=name: job(name)) for name in "12"]
    assert [end_of(one) for one in both] == [0, 0]
    assert tree(place / "out") == calm[0]
    assert no_parts(place)


def test_a_killed_writers_part_is_swept_and_a_living_ones_is_not(tmp_path: Path) -> None:
    def writer(ending: Callable[[], None]) -> None:
        with atomic_write(tmp_path / "x.json") as part:
            part.write_text("half")
            ending()

    assert in_child(lambda: writer(die)) == -signal.SIGKILL
    (dead,) = tmp_path.glob(".part*")
    living = start(lambda: writer(lambda: time.sleep(600)))
    while not set(tmp_path.glob(".part*")) - {dead}:
        time.sleep(0.01)
    _SWEPT.clear()
    write_text("whole", tmp_path / "x.json")
    assert not dead.exists()
    assert len(list(tmp_path.glob(".part*"))) == 1, "the part of a living writer"
    os.kill(living, signal.SIGKILL)
    end_of(living)
    _SWEPT.clear()
    write_text("whole", tmp_path / "x.json")
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
