"""Steps of preparation that are killed, crash or are refused something, each told apart."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults_house import (
    LACKING,
    die,
    end_of,
    in_child,
    light_region,
    light_steps,
    make_visit,
    small_recipe,
    start,
)

from bids_synth.core.visit import Prepared, Visit
from bids_synth.prepare.workflow import key as keys
from bids_synth.prepare.workflow import steps, workflow
from bids_synth.prepare.workflow.workflow import prepare_visits
from bids_synth.spatial.volume import read_volume, write_text

RECIPE = small_recipe()
SHAPE = (20, 20, 20)


def visits(folder: Path, *people: str) -> list[Visit]:
    made = (make_visit(folder / "scans", p, modalities=("T1w",), shape=SHAPE) for p in people)
    return [one.visit for one in made]


def prepare(given: list[Visit], work: Path, *, nprocs: int = 1) -> tuple[dict, dict]:
    """Prepared visits, and the reasons of those that failed, by label."""
    done, problems = prepare_visits(
        given, RECIPE, work=work, seed=1, skull_strip="auto", nprocs=nprocs, memory_gb=4.0
    )
    return done, {p.visit: p.message for p in problems}


def bytes_of(one: Prepared) -> list[bytes]:
    paths = (one.mask, one.native_mask, one.template, *one.images.values())
    return [read_volume(p).array.tobytes() if ".nii" in p.name else p.read_bytes() for p in paths]


def of_whom(path: Path) -> str:
    """The participant whose scan lies there."""
    return path.parent.name[0]


def raising(error: BaseException) -> Callable[[], None]:
    def fault() -> None:
        raise error

    return fault


def signalled(number: int) -> Callable[[], None]:
    def fault() -> None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    return fault


FULL = OSError(errno.ENOSPC, "No space left on device", "/disk/x.nii.gz")
FAULTS: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
    "k": (die, ("killed (signal 9)", "lack of memory", "--low-mem", "--nprocs")),
    "s": (signalled(signal.SIGABRT), ("crashed (signal 6, Aborted)", "not for lack of memory")),
    "m": (raising(MemoryError()), ("out of memory", "--low-mem", "--nprocs")),
    "b": (raising(RuntimeError("std::bad_alloc")), ("out of memory", "--nprocs")),
    "d": (raising(FULL), ("/disk/x.nii.gz: the disk is full", "--work-dir")),
    "v": (raising(ValueError("odd")), ("unexpected fault (ValueError odd)", "crash-")),
}  # fmt: skip


def test_every_fault_of_a_step_is_told_apart_and_costs_its_visit_alone(tmp_path: Path) -> None:
    def region(reference, modality, part, **options):
        if fault := FAULTS.get(of_whom(reference)):
            fault[0]()
        return light_region(reference, modality, part, **options)

    with light_steps(region):
        done, told = prepare(visits(tmp_path, *FAULTS, *LACKING), tmp_path / "work", nprocs=2)
    assert set(done) == {f"sub-{p}" for p in LACKING}
    for person, (_, words) in FAULTS.items():
        said = told[f"sub-{person}"]
        assert "\n" not in said
        assert not [w for w in words if w not in said], said
        assert ("lack of memory" in said and "not for" not in said) == (person == "k"), said


def test_the_steps_of_a_run_that_is_killed_end_with_it_and_the_next_run_is_as_the_first(
    tmp_path: Path,
) -> None:
    (visit,) = visits(tmp_path, "z")
    note = tmp_path / "pid"

    def slow(reference, modality, part, **options):
        write_text(str(os.getpid()), note)
        time.sleep(600)

    with light_steps(slow):
        run = start(lambda: prepare([visit], tmp_path / "work", nprocs=2))
    step = int(until(note.is_file) and note.read_text())
    os.kill(run, signal.SIGKILL)
    assert end_of(run) == -signal.SIGKILL
    until(lambda: not alive(step))
    with light_steps():
        done, told = prepare([visit], tmp_path / "work", nprocs=2)
        calm, _ = prepare([visit], tmp_path / "calm")
    assert told == {}
    assert bytes_of(done["sub-z"]) == bytes_of(calm["sub-z"])


def until(true: Callable[[], bool], seconds: float = 300) -> bool:
    stop = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < stop, "waited in vain"
        time.sleep(0.02)
    return True


def alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


STEPS = ("admit", "find_region", "place_mask", "resample_scan", "collect")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_that_is_killed_at_any_step_is_continued(
    step: str, when: str, tmp_path: Path
) -> None:
    (visit,) = visits(tmp_path, "z")

    def killed() -> None:
        with light_steps():
            do = getattr(steps, step)

            def dying(*arguments, **options):
                if when == "after":
                    do(*arguments, **options)
                die()

            setattr(steps, step, dying)
            prepare([visit], tmp_path / "work")

    assert in_child(killed) == -signal.SIGKILL
    with light_steps():
        done, told = prepare([visit], tmp_path / "work")
        calm, _ = prepare([visit], tmp_path / "calm")
    assert told == {}
    assert bytes_of(done["sub-z"]) == bytes_of(calm["sub-z"])


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[tuple[Visit, Prepared, Path]]:
    (visit,) = visits(tmp_path, "z")
    with light_steps():
        done, _ = prepare([visit], tmp_path / "work")
        yield visit, done["sub-z"], tmp_path / "work"


def never(*_: object, **__: object) -> None:
    message = "made again"
    raise AssertionError(message)


def test_a_moved_work_directory_serves_from_its_new_place(ready, tmp_path, monkeypatch) -> None:
    visit, before, work = ready
    kept = bytes_of(before)
    shutil.move(work, tmp_path / "elsewhere" / "new")
    for name in STEPS:
        monkeypatch.setattr(steps, name, never)
    done, told = prepare([visit], tmp_path / "elsewhere" / "new")
    assert told == {}
    assert bytes_of(done["sub-z"]) == kept
    assert done["sub-z"].mask.is_relative_to(tmp_path / "elsewhere")


@pytest.mark.parametrize("what", ["package", "preparation"])
def test_no_step_of_another_version_is_taken_over(ready, what, monkeypatch) -> None:
    """Its images may differ though its inputs are the same."""
    visit, before, work = ready
    if what == "package":
        monkeypatch.setattr(workflow, "__version__", "99")
    for module in (keys, workflow) if what == "preparation" else ():
        monkeypatch.setattr(module, "PREPARATION_VERSION", 99)
    made = []
    for name in STEPS:
        step = getattr(steps, name)
        monkeypatch.setattr(
            steps, name, lambda *a, step=step, **o: made.append(step) or step(*a, **o)
        )
    done, told = prepare([visit], work)
    assert told == {}
    assert len(made) == len(STEPS)
    assert bytes_of(done["sub-z"]) == bytes_of(before)
    assert done["sub-z"].mask != before.mask
    assert (done["sub-z"].key == before.key) == (what == "package")


def test_nothing_depends_on_the_clock(ready, monkeypatch) -> None:
    """Files from the future are no reason, and a changed scan from the past is one."""
    visit, before, work = ready
    path, future = visit.scans["T1w"].path, time.time() + 10 * 365 * 86400
    for each in (*work.rglob("*"), path):
        os.utime(each, (future, future))
    made = []
    step = steps.resample_scan
    monkeypatch.setattr(steps, "resample_scan", lambda *a, **o: made.append(step) or step(*a, **o))
    again, _ = prepare([visit], work)
    assert made == []
    assert again["sub-z"].images == before.images
    other = visits(work.parent / "other", "q")[0].scans["T1w"].path
    shutil.copyfile(other, path)
    os.utime(path, (1, 1))
    changed, _ = prepare([visit], work)
    assert made == [step]
    assert changed["sub-z"].key != before.key
