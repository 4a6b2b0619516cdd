"""SLURM, the real one on loopback: jobs that share an output, and jobs that are sent away."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from learn_ranks import fit_toy, in_double_precision
from ready_dataset import PEOPLE, fit_options, make_ready
from slurm_cluster import Cluster, loopback_cluster
from small_job import Job, apart
from test_distributed import TOLERANCE, distance

from bids_synth.demo.dataset import make_demo
from bids_synth.learn.fit import loop
from bids_synth.learn.fit.selection import Selection

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts" / "slurm"
PER_RUN = "logs/20", "logs/bids_synth-20", "logs/scores-20"
"""Run files, messages and scores: their names hold the second and a random number."""
TIMED = "/events.out.tfevents."
"""TensorBoard's events, also in their names."""
ONE = ("--cpus-per-task=1",)
STEPS, PER_EPOCH = 200, 50
PREPARED_LIKE = ("--sloppy", "-m", "T1w", "T2w")
"""What decides how scans are prepared: the same in all jobs."""
QUICK = ("--set", "fit.test=0.25", "--set", "fit.steps=4", "--set", "fit.steps_per_epoch=2")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", paths)
        patch.setenv("BIDS_SYNTH", f"{sys.executable} -m bids_synth")
        with loopback_cluster(tmp_path_factory.mktemp("slurm")) as made:
            yield made


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a dataset and an output in which one process has fitted a model."""
    folder = tmp_path_factory.mktemp("serial")
    dataset, output = make_ready(folder)
    options = fit_options(steps=STEPS, steps_per_epoch=PER_EPOCH)
    work = ["--work-dir", str(folder / "work")]
    alone(dataset, output, "group", *work, *options)
    return folder


def alone(*words: object) -> None:
    """A run of the program in a process of its own, as a job is: figures know no other test."""
    line = [sys.executable, "-m", "bids_synth", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def weights_of(output: Path) -> list[str]:
    paths = sorted(output.glob("models/impute/weights/*"))
    return [f"{p.name} {hashlib.sha256(p.read_bytes()).hexdigest()}" for p in paths]


def until(true: Callable[[], object], what: str, *, seconds: float = 200) -> None:
    stop = time.monotonic() + seconds
    while not true():
        if time.monotonic() > stop:
            pytest.fail(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.05)


def test_a_job_that_is_sent_away_twice_queues_again_and_ends_at_the_same_weights(
    cluster: Cluster, serial: Path, tmp_path: Path
) -> None:
    """By SIGUSR1, as `--signal` sends it before the time limit, and by a requeue (SIGTERM)."""
    dataset, output = make_ready(tmp_path)
    work = tmp_path / "work"
    options = fit_options(steps=STEPS, steps_per_epoch=PER_EPOCH)
    job = cluster.submit(SCRIPTS / "group.sh", work, dataset, output, *options, options=ONE)

    def epochs() -> int:
        curves = work.glob("fit/impute-*/fold-0_member-0/training.tsv")
        return sum(len(curve.read_text().splitlines()) - 1 for curve in curves)

    def steps() -> int:
        states = work.glob("fit/impute-*/fold-0_member-0/state.ckpt")
        return sum(torch.load(state, weights_only=True)["steps_done"] for state in states)

    until(lambda: epochs() > 0, "the first fit")
    began = time.monotonic()
    cluster.call("scancel", "--signal=USR1", job)
    cluster.wait(job, "PENDING", seconds=60)
    assert time.monotonic() - began < 60
    first = steps()
    assert 0 < first < STEPS
    until(lambda: epochs() > first // PER_EPOCH, "the second fit")
    cluster.call("scontrol", "requeue", job)
    until(lambda: "PENDING" in cluster.states(job), "the queue")
    assert first <= steps() < STEPS
    cluster.wait(job)
    assert "Restarts=2" in cluster.call("scontrol", "show", "job", job)
    assert weights_of(output) == weights_of(serial / "out")
    # The weights that are kept may be those of the start: the curve tells that the steps agree.
    curve = Path("models/impute/training.tsv")
    assert _content(output / curve, tmp_path) == _content(serial / "out" / curve, serial)


def contents(output: Path) -> dict[str, object]:
    """What each file says, without the times of a fit and the folder of the dataset."""
    paths = (p for p in output.rglob("*") if p.is_file())
    named = {path.relative_to(output).as_posix(): path for path in paths}
    return {
        name: _content(path, output.parent)
        for name, path in named.items()
        if not name.startswith(PER_RUN) and TIMED not in name
    }


def _content(path: Path, folder: Path) -> object:
    if path.name == "model.json":
        return json.loads(path.read_text()) | {"created": ""}
    if path.name == "training.tsv":
        return [line.split("\t")[:9] for line in path.read_text().splitlines()]
    if path.name == "dataset_description.json":
        return path.read_text().replace(folder.as_uri(), "")
    if path.suffix == ".html":
        return re.sub(r"\d{4}-\d\d-\d\dT[\d:]{8}", "", path.read_text())
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return hashlib.sha256(data).hexdigest()


def test_an_array_that_shares_an_output_and_a_dependent_fit_give_the_serial_files(
    cluster: Cluster, serial: Path, tmp_path: Path
) -> None:
    """Four containers' worth of participants at once; then the fit, on what they left."""
    dataset, output = make_ready(tmp_path)
    people = tmp_path / "participants.txt"
    people.write_text("".join(f"sub-{person}\n" for person in PEOPLE))
    model = serial / "out/models/impute"
    asked = ["--model", model, "--evaluate", "--device", "cpu"]
    script, array = SCRIPTS / "participants.sh", ("--array=1-4", *ONE)
    first = cluster.submit(script, people, dataset, output, *asked, options=array)
    fit = fit_options(steps=STEPS, steps_per_epoch=PER_EPOCH)
    after = (f"--dependency=afterok:{first}", *ONE)
    group = SCRIPTS / "group.sh", tmp_path / "work", dataset, output
    job = cluster.submit(*group, *fit, options=after)
    own = [serial / "bids", serial / "out", "participant", "-w", serial / "work", *asked]
    alone(*own)
    cluster.wait(first)
    cluster.wait(job)
    here, there = contents(output), contents(serial / "out")
    assert sorted(here) == sorted(there)
    assert [name for name in here if here[name] != there[name]] == []


def test_prepare_fit_and_fill_in_dependent_jobs_give_the_files_of_three_commands(
    cluster: Cluster, tmp_path: Path
) -> None:
    """From raw scans: two participants a task first, all with one loaded model at the end."""
    jobs, own = tmp_path / "jobs", tmp_path / "serial"
    for place in (jobs, own):
        modalities = ("T1w", "T2w")
        make_demo(place / "bids", participants=4, resolution=4.0, modalities=modalities, seed=3)
    words = " ".join(PREPARED_LIKE)
    variables = (
        f"PREPARE={words} --device cpu",
        f"FIT={words} {' '.join(QUICK)} --device cpu",
        "FILL=--device cpu",
        "PER_TASK=2",
        f"SCRATCH={tmp_path}",
    )
    given = (jobs / "work", jobs / "bids", jobs / "out", *ONE)
    command = ("env", f"--chdir={tmp_path}", *variables, SCRIPTS / "submit.sh", *given)
    numbers = cluster.call(*command).split()
    assert len(numbers) == 3
    where, how = (own / "bids", own / "out"), ("-w", own / "work", "--device", "cpu")
    alone(*where, "participant", "--preproc-only", *how, *PREPARED_LIKE)
    alone(*where, "group", *how, *PREPARED_LIKE, *QUICK)
    alone(*where, "participant", "--synth-only", *how)
    for number in numbers:
        cluster.wait(number, seconds=900)
    here, there = contents(jobs / "out"), contents(own / "out")
    assert sorted(here) == sorted(there)
    assert [name for name in here if here[name] != there[name]] == []
    made = [path.name for path in (jobs / "out").rglob("*_desc-synth_*.nii.gz")]
    assert made == ["sub-02_space-T1w_desc-synth_T2w.nii.gz"]


def test_two_tasks_of_srun_make_the_steps_of_one_process_with_the_doubled_batch(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("Fabric", "save_file"):
        monkeypatch.setattr(loop, name, getattr(loop, name))
    monkeypatch.setattr(Selection, "__call__", Selection.__call__)
    script = tmp_path / "two.sh"
    fit = f"{sys.executable} {ROOT}/tests/learn_ranks.py {tmp_path / 'two'} regression 1"
    script.write_text(f"#!/bin/bash\nsrun --ntasks=2 {fit}\n")
    job = cluster.submit(script, options=("--ntasks=2", *ONE))
    in_double_precision()
    fit_toy(tmp_path / "one", "regression", 2)
    cluster.wait(job)
    assert distance(tmp_path / "two", tmp_path / "one") < TOLERANCE


def test_two_tasks_that_are_sent_away_queue_again_and_end_at_the_same_bits(
    cluster: Cluster, tmp_path: Path
) -> None:
    sent, calm = (Job(tmp_path / name, epochs=20) for name in ("sent", "calm"))
    words = sent.work, sent.dataset, sent.output, *sent.options, "--distributed"
    job = cluster.submit(SCRIPTS / "group.sh", *words, options=("--ntasks=2", *ONE))
    sent.wait_for_an_epoch()
    cluster.call("scancel", "--signal=USR1", job)
    cluster.wait(job, "PENDING", seconds=60)
    assert 0 < sent.steps_kept() < sent.steps
    assert calm.run().codes == [0, 0]
    cluster.wait(job)
    assert "Restarts=1" in cluster.call("scontrol", "show", "job", job)
    assert max(apart(sent, calm)) == 0
    assert sent.curve() == calm.curve()
