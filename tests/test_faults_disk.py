"""Disks that are full, read-only or another's: one line that says where and what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults_house import (
    LACKING,
    assert_whole,
    in_child,
    light_steps,
    make_house,
    no_parts,
    participant,
    tree,
)
from learn_kill import curve, fit_toys

from bids_synth.errors import VisitError
from bids_synth.spatial.volume import write_text
from bids_synth.system.atomic import _SWEPT, atomic_write
from bids_synth.system.os_errors import explained, visit_fails

pytestmark = pytest.mark.slow
STRANGER = 54321
"""A user who owns nothing here."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_house(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="module")
def calm(house: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of an undisturbed run for y and z."""
    place = Path(shutil.copytree(house, tmp_path_factory.mktemp("calm") / "place"))
    assert run(place) == 0
    return place / "out"


@pytest.fixture
def place(house: Path, tmp_path: Path) -> Path:
    """A copy of the house, nothing done in it yet."""
    return Path(shutil.copytree(house, tmp_path / "place"))


def run(place: Path) -> int:
    """Participant for y and z, as in a process of its own."""
    _SWEPT.clear()
    with light_steps():
        return participant(place, people=LACKING)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A disk of so many bytes at a folder; skips where nothing may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("a small disk to fill needs mount and the superuser")
    options = f"size={size // 1024}k,mode=755"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def bytes_in(folder: Path) -> int:
    """What the files of a folder take on a disk with blocks of 4 KiB."""
    sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file()]
    return sum((size + 4095) // 4096 * 4096 for size in sizes)


def last_lines(capfd: pytest.CaptureFixture[str]) -> str:
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    assert "Logging error" not in said.err
    return said.out + said.err


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_full_disk_costs_the_visit_that_met_it_and_nothing_else(
    share: float, place: Path, calm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The folder of z is the disk; y lies elsewhere."""
    with small_disk(place / "out/sub-z", int(share * bytes_in(calm / "sub-z"))):
        assert run(place) == 1
        told = last_lines(capfd)
        assert f"sub-z: {place}/out/sub-z/" in told or f"no report: {place}/out" in told, told
        assert "the disk is full; free some space" in told
        assert "sub-y: T2w from T1w" in told
        assert_whole(place / "out")
        assert no_parts(place / "out")
    expected = tree(calm)
    found = tree(place / "out")
    mine = {name for name in expected if name.startswith("sub-y")}
    assert {n: found[n] for n in mine} == {n: expected[n] for n in mine}
    assert run(place) == 0
    assert tree(place / "out") == expected


def test_a_full_output_is_told_before_any_work_and_the_model_stays(
    house: Path, tmp_path: Path, calm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "disk", 2 * bytes_in(calm) + 2**23) as disk:
        place = Path(shutil.copytree(house, disk / "place"))
        models = tree(place / "out/models")
        filler = disk / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(disk).free))
        assert run(place) == 1
        told = last_lines(capfd)
        assert str(place / "out") in told
        assert "the disk is full; free some space" in told
        assert tree(place / "out/models") == models
        assert no_parts(place)
        filler.unlink()
        assert run(place) == 0
        assert tree(place / "out") == tree(calm)


def test_a_full_work_directory_is_told_and_the_next_run_goes_on(
    place: Path, calm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with small_disk(place / "work", 64 * 1024):
        assert run(place) == 1
        told = last_lines(capfd)
        assert "sub-y: " in told
        assert "sub-z: " in told
        assert f"{place}/work" in told
        assert "the disk is full; free some space" in told
        assert not list(place.glob("out/sub-*/**/*.nii.gz"))
    assert run(place) == 0
    assert tree(place / "out") == tree(calm)


@pytest.fixture
def public(house: Path) -> Iterator[Path]:
    """A copy of the house that a stranger may read, with `out` and `work` of theirs."""
    if os.geteuid() != 0:
        pytest.skip("only the superuser can act as another user")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(shutil.copytree(house, Path(folder) / "place"))
        for path in (Path(folder), place, place / "bids"):
            path.chmod(0o755)
        (place / "work").mkdir()
        for path in (place / "work", place / "out", *(place / "out").rglob("*")):
            os.chown(path, STRANGER, STRANGER)
        yield place


def as_stranger(place: Path) -> int:
    def act() -> int:
        os.setgroups([])
        os.setgid(STRANGER)
        os.setuid(STRANGER)
        os.environ["HOME"] = "/nonexistent"
        if not all(os.access(file, os.R_OK) for file in (__file__, pytest.__file__)):
            return 77
        return run(place)

    code = in_child(act)
    if code == 77:
        pytest.skip("another user cannot read this checkout or its packages")
    return code


def test_a_dataset_that_may_only_be_read_is_enough(public: Path, calm: Path) -> None:
    for path in (public / "bids").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = tree(public / "bids")
    assert as_stranger(public) == 0
    assert tree(public / "out") == tree(calm)
    assert tree(public / "bids") == before


def test_an_output_of_another_user_is_refused_before_any_work(
    public: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    os.chown(public / "out", 0, 0)
    before = tree(public / "out")
    assert as_stranger(public) == 2
    assert f"{public}/out cannot be written; give another folder" in last_lines(capfd)
    assert tree(public / "out") == before


def test_a_participants_folder_of_another_user_costs_that_participant(
    public: Path, calm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (public / "out/sub-z").mkdir(mode=0o755)
    assert as_stranger(public) == 1
    told = last_lines(capfd)
    assert f"sub-z: {public}/out/sub-z" in told
    assert "permission denied" in told
    assert f"belongs to uid 0, you are {STRANGER}); give a folder of your own" in told
    expected, found = tree(calm), tree(public / "out")
    mine = {name for name in expected if name.startswith("sub-y")}
    assert {n: found.get(n) for n in mine} == {n: expected[n] for n in mine}


def test_logs_of_another_user_are_told_in_one_line(
    public: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (public / "out/logs").mkdir(mode=0o755)
    assert as_stranger(public) == 1
    told = last_lines(capfd)
    assert f"{public}/out/logs" in told
    assert f"belongs to uid 0, you are {STRANGER}); give a folder of your own" in told


REFUSALS = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "quota .* free some space",
    errno.EROFS: "read-only; give another output_dir",
    errno.EMFILE: "ulimit -n",
    errno.ENOMEM: "out of memory; .*--nprocs",
    errno.EIO: "the disk failed",
    errno.EACCES: "permission denied; give a folder of your own",
    errno.ENOTDIR: "Not a directory",
}


def refused(number: int, path: Path) -> None:
    """A file of a visit that a disk takes half of."""
    with visit_fails(), atomic_write(path) as part:
        part.write_text("half")
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", REFUSALS)
def test_every_refusal_names_the_file_in_one_line(number: int, tmp_path: Path) -> None:
    path, before = tmp_path / "x.json", "before"
    write_text(before, path)
    with pytest.raises(VisitError) as told:
        refused(number, path)
    assert re.fullmatch(f"{re.escape(str(path))}: .*{REFUSALS[number]}.*", str(told.value))
    assert path.read_text() == before
    assert no_parts(tmp_path)


@pytest.mark.parametrize("what", ["store", "state"])
def test_a_disk_that_fills_up_in_a_fit_is_named_and_the_fit_goes_on(
    what: str, tmp_path: Path
) -> None:
    """While the arrays of the visits are written, or the state of the fit."""
    calm = fit_toys(tmp_path / "calm", members=1)
    room = {"store": 16384, "state": bytes_in(tmp_path.joinpath("calm", "work", "store")) + 16384}
    with small_disk(tmp_path / "full/work", room[what]) as work:
        with pytest.raises(OSError, match=str(work)) as refused:
            fit_toys(tmp_path / "full", members=1)
        assert "the disk is full; free some space" in explained(refused.value)
        assert no_parts(work)
        assert not (tmp_path / "full/models/toy/model.json").exists()
    again = fit_toys(tmp_path / "full", members=1)
    assert [w.sha256 for w in again.card.weights] == [w.sha256 for w in calm.card.weights]
    assert curve(again.folder) == curve(calm.folder)
