"""`group --distributed` by its command line: files, exit codes, faults and preemption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from program_ranks import Disturbance, Ended, Ranks, alone
from ready_dataset import MODALITIES, make_ready
from test_distributed import environment

from bids_synth.learn.model import load_model
from bids_synth.recipe import load_recipe, validate_recipe

pytestmark = pytest.mark.slow
NAME = "small"
EPOCHS, PER_EPOCH = 2, 4
TOLERANCE = 1e-6
"""Of a weight. No bias of this network stands before a normalisation, so that float32 does: two
processes stay within 1e-7 of one; with the batch not doubled, each tensor is off by over 5e-5."""
STEP = "bids_synth.learn.objectives.objective:Objective.training_step"
LOOK = "bids_synth.learn.selection:Selection.__call__"


class Job:
    """A dataset and an output of its own, and the command line that fits a small model there."""

    def __init__(self, folder: Path, *, batch: int = 1, epochs: int = EPOCHS) -> None:
        self.folder = folder
        self.dataset, self.output = make_ready(folder)
        self.model = self.output / "models" / NAME
        self.work = folder / "work"
        places = [self.dataset, self.output, "group", "-w", self.work]
        recipe = folder / f"{NAME}.toml"
        recipe.write_text(small(batch, epochs))
        self.words = [str(w) for w in (*places, "--recipe", recipe, "--device", "cpu")]

    def ranks(self, *more: str, disturbed: Disturbance | None = None) -> Ranks:
        words = [*self.words, "--distributed", *more]
        return Ranks(self.folder / "said", words, disturbed=disturbed)

    def run(self, *more: str, disturbed: Disturbance | None = None) -> Ended:
        return self.ranks(*more, disturbed=disturbed).end()

    def steps_kept(self) -> int:
        state = self.work / f"fit/{NAME}/fold-0_member-0/last.ckpt"
        return torch.load(state, weights_only=True)["steps_done"] if state.is_file() else 0

    def curve(self) -> list[list[str]]:
        """training.tsv without the two columns that are measured times."""
        lines = (self.model / "training.tsv").read_text().splitlines()
        return [line.split("\t")[:9] for line in lines]

    def weights(self) -> dict[str, torch.Tensor]:
        return load_model(self.model).networks()[0].state_dict()


def small(batch: int, epochs: int) -> str:
    """A recipe whose network begins with no linear answer: what a fit keeps, it has learned."""
    data = load_recipe("impute").limited_to(MODALITIES).model_dump(mode="json")
    data["name"] = NAME
    data["network"] = {"name": "excitation-unet", "filters": 4, "levels": 2}
    data["fit"] |= {"patch": [16, 16, 16], "members": 1, "ema": 0.0, "batch": batch}
    data["fit"] |= {"steps": epochs * PER_EPOCH, "steps_per_epoch": PER_EPOCH}
    data["fit"] |= {"test": 0.25, "validation": 0.25}
    data["evaluation"]["bootstrap"] = 100
    return validate_recipe(data, origin=NAME).to_toml()


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


def apart(one: Job, other: Job) -> list[float]:
    """Largest difference of each tensor between the weights of two models."""
    pairs = zip(one.weights().values(), other.weights().values(), strict=True)
    return [float((a - b).abs().max()) for a, b in pairs]


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def test_torchrun_starts_the_program_and_the_first_process_alone_writes(two: Job) -> None:
    printed, told = ((two.folder / name).read_text() for name in ("printed", "told"))
    assert printed.count("PSNR, dB") == printed.count("group.html") == 1
    assert told.count("scoring sub-a: T1w from T2w") == 1
    assert only(two.output, "models/*") == two.model
    log = only(two.output, "logs/bids_synth-*.log").read_text()
    assert log.count("scoring sub-a: T1w from T2w") == 1
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
    assert min(apart(two, half)) > 50 * TOLERANCE


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
    began(job)
    at = time.monotonic()
    ranks.signal(signal.SIGUSR1)
    ended = ranks.end()
    assert ended.codes == [75, 75], ended.said
    assert time.monotonic() - at < 10
    assert 0 < job.steps_kept() < 100 * PER_EPOCH


def test_torchrun_passes_on_the_signals_that_it_is_told_of(tmp_path: Path) -> None:
    job = Job(tmp_path, epochs=100)
    command = torchrun(job)
    command.insert(command.index("-m", 3), "--signals-to-handle=SIGTERM,SIGINT,SIGUSR1")
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as run:
        began(job)
        at = time.monotonic()
        os.kill(run.pid, signal.SIGUSR1)
        _, said = run.communicate(timeout=60)
    assert time.monotonic() - at < 20
    assert "asked to end by a signal" in said
    assert 0 < job.steps_kept() < 100 * PER_EPOCH


def began(job: Job) -> None:
    """Wait for the first epoch."""
    curve = job.work / f"fit/{NAME}/fold-0_member-0/training.tsv"
    stop = time.monotonic() + 100
    while not curve.is_file():
        assert time.monotonic() < stop, "no fit has begun"
        time.sleep(0.05)
