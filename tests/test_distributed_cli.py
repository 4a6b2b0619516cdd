"""`group --distributed` by its command line: files, exit codes, faults and preemption."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from program_ranks import Disturbance, alone
from small_job import EPOCHS, NAME, PER_EPOCH, Job, apart
from test_distributed import environment

from bids_synth.learn.model.model import load_model
from bids_synth.system.locks import exclusive

pytestmark = pytest.mark.slow
TOLERANCE = 1e-6
"""Of a weight. No bias of this network stands before a normalisation, so that float32 does: two
processes stay within 1e-7 of one; with the batch not doubled, each tensor is off by over 5e-5."""
STEP = "bids_synth.learn.fit.loop:take_step"
LOOK = "bids_synth.learn.fit.selection:Selection.__call__"


def torchrun(job: Job) -> list[str]:
    """The command of docs/clusters.md."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*launcher, "--nproc-per-node=2", "-m", "bids_synth", *job.words, "--distributed"]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """What two processes, started by torchrun, have made of a dataset; undisturbed."""
    job = Job(tmp_path_factory.mktemp("two"))
    done = subprocess.run(torchrun(job), env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    (job.folder / "printed").write_text(done.stdout)
    (job.folder / "told").write_text(done.stderr)
    return job


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def test_torchrun_starts_the_program_and_the_first_process_alone_writes(two: Job) -> None:
    printed, told = ((two.folder / name).read_text() for name in ("printed", "told"))
    assert printed.count("PSNR, dB") == printed.count("group.html") == 1
    assert told.count("scoring sub-a: T2w from T1w") == 1
    assert only(two.output, "models/*") == two.model
    log = only(two.output, "logs/bids_synth-*.log").read_text()
    assert log.count("scoring sub-a: T2w from T1w") == 1
    assert only(two.output, "logs/*/bids_synth.toml").is_file()
    assert only(two.model, "logs/*/events.*").is_file()
    assert only(two.model, "metrics.tsv").is_file()
    assert only(two.output, "*.html").name == "group.html"
    assert not list(two.output.rglob(".part*"))


def test_two_processes_fit_what_one_does_with_the_doubled_batch(two: Job, tmp_path: Path) -> None:
    one, half = Job(tmp_path / "one", batch=2), Job(tmp_path / "half")
    assert alone(tmp_path / "said", one.words).codes == [0]
    assert alone(tmp_path / "said", half.words).codes == [0]
    assert load_model(two.model).card.weights[0].epoch == EPOCHS - 1, "nothing was learned"
    assert max(apart(two, one)) < TOLERANCE
    # A shift before a norm hardly moves in so few steps, yet beyond what rounding does.
    assert min(apart(two, half)) > TOLERANCE
    assert np.median(apart(two, half)) > 50 * TOLERANCE


def test_participant_works_with_the_model_as_with_any_other(two: Job, tmp_path: Path) -> None:
    words = [two.dataset, two.output, "participant", "-w", two.work, "--device", "cpu"]
    ended = alone(tmp_path, [*words, "--model", NAME, "--evaluate", "--participant-label", "a"])
    assert ended.codes == [0], ended.said
    made = sorted(p.name for p in two.output.glob("sub-a/anat/*_desc-synth*.nii.gz"))
    assert made, sorted(two.output.rglob("sub-a*"))


def test_a_fit_that_is_done_is_found_by_all_processes(two: Job) -> None:
    before = (two.model / "model.json").stat()
    ended = two.run()
    assert ended.codes == [0, 0], ended.said
    assert ended.said[1] == ended.printed[1] == ""
    assert (two.model / "model.json").stat() == before


def test_a_usage_error_ends_all_processes_and_is_said_once(tmp_path: Path) -> None:
    job = Job(tmp_path)
    ended = job.run("--recipe", "nonsense")
    assert ended.codes == [2, 2]
    assert "no such recipe" in ended.said[0]
    assert ended.said[1] == ""
    wrong = job.run("--folds", "0")
    assert wrong.codes == [2, 2]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_fault_of_one_process_in_the_midst_of_a_fit_ends_the_other(
    rank: int, tmp_path: Path
) -> None:
    """They wait for its part of a step, which would last for days."""
    ended = Job(tmp_path).run(disturbed=Disturbance(rank, STEP, 3, "the card has failed"))
    assert ended.codes == [70, 1]
    assert "the card has failed" in ended.said[rank]
    assert not any("Traceback" in text for text in ended.said)


def test_a_fit_that_is_asked_to_end_goes_on_to_the_same_bits(two: Job, tmp_path: Path) -> None:
    """One process gets the signal: in the first look, within an epoch, in the look after it."""
    job = Job(tmp_path)
    for disturbed, kept in (
        (Disturbance(0, LOOK, 1, signal.SIGUSR1), 0),
        (Disturbance(1, STEP, 3, signal.SIGUSR1), 3),
        (Disturbance(0, LOOK, 1, signal.SIGTERM), PER_EPOCH),
        (Disturbance(1, STEP, PER_EPOCH - 1, signal.SIGTERM), 2 * PER_EPOCH - 1),
    ):
        ended = job.run(disturbed=disturbed)
        assert ended.codes == [75, 75], ended.said
        assert job.steps_kept() == kept
    assert job.run().codes == [0, 0]
    assert max(apart(job, two)) == 0
    assert job.curve() == two.curve()


def test_the_signal_of_a_scheduler_ends_all_processes_within_seconds(tmp_path: Path) -> None:
    job = Job(tmp_path, epochs=100)
    ranks = job.ranks()
    job.wait_for_an_epoch()
    at = time.monotonic()
    ranks.signal(signal.SIGUSR1)
    ended = ranks.end()
    assert ended.codes == [75, 75], ended.said
    assert time.monotonic() - at < 10
    assert 0 < job.steps_kept() < job.steps


def test_processes_that_wait_for_the_turn_of_their_fit_end_as_well(tmp_path: Path) -> None:
    job = Job(tmp_path)
    assert job.run().codes == [0, 0]
    shutil.rmtree(job.model)
    with exclusive({"fold-0"}, job.place.parent / "turns", does="fits"):
        ranks = job.ranks()
        ranks.wait_until_said("waiting for it")
        ranks.signal(signal.SIGTERM)
        assert ranks.end().codes == [75, 75]


def test_torchrun_passes_on_the_signals_that_it_is_told_of(tmp_path: Path) -> None:
    job = Job(tmp_path, epochs=100)
    command = torchrun(job)
    command.insert(command.index("-m", 3), "--signals-to-handle=SIGTERM,SIGINT,SIGUSR1")
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as run:
        job.wait_for_an_epoch()
        at = time.monotonic()
        os.kill(run.pid, signal.SIGUSR1)
        _, said = run.communicate(timeout=60)
    assert time.monotonic() - at < 20
    assert "asked to end by a signal" in said
    assert 0 < job.steps_kept() < job.steps
