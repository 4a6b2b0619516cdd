"""Distributed fits: two processes make the steps of one with the doubled batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from learn_ranks import fit_toy, in_double_precision

from bids_synth.errors import UsageError
from bids_synth.learn.data.dataset import own_items
from bids_synth.learn.fit import loop
from bids_synth.learn.fit.distributed import place_of
from bids_synth.learn.fit.selection import Selection
from bids_synth.learn.model.model import load_model

TESTS = Path(__file__).resolve().parent
TOLERANCE = 1e-6
"""Of a weight, which is kept in float32."""


def environment() -> dict[str, str]:
    """This process's, without a launcher's variables, and with the modules of the tests."""
    strange = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_", "SLURM_", "TORCHELASTIC_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(strange)}
    return kept | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}


def distance(one: Path, other: Path) -> float:
    """Largest difference of a weight between two models."""
    networks = [load_model(folder / "models/toy").networks()[0] for folder in (one, other)]
    pairs = zip(*(network.state_dict().values() for network in networks), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, "-m", *launcher, str(TESTS / "learn_ranks.py"), *arguments]
    return subprocess.run(
        [str(word) for word in command], env=environment(), capture_output=True, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["regression", "conditional-gan"])
def test_two_processes_make_the_steps_of_one_with_the_doubled_batch(
    objective: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("Fabric", "save_file"):
        monkeypatch.setattr(loop, name, getattr(loop, name))
    monkeypatch.setattr(Selection, "__call__", Selection.__call__)
    in_double_precision()
    done = torchrun(tmp_path / "two", objective, 1)
    assert done.returncode == 0, done.stderr[-3000:]
    fit_toy(tmp_path / "one", objective, 2)
    fit_toy(tmp_path / "half", objective, 1)
    assert distance(tmp_path / "two", tmp_path / "one") < TOLERANCE
    assert distance(tmp_path / "two", tmp_path / "half") > 100 * TOLERANCE
    logs = list((tmp_path / "two/models/toy/logs").glob("*/events.*"))
    assert len(logs) == 1, "the second process wrote"


def test_the_shares_of_all_processes_are_the_batches_of_one() -> None:
    alone = own_items(48, done=24, batch=6)
    shares = [own_items(48, done=24, batch=2, rank=r, ranks=3) for r in range(3)]
    rows = [torch.tensor(list(s)).reshape(-1, 2) for s in shares]
    together = torch.cat(rows, dim=1).flatten().tolist()
    assert together == list(alone) == list(range(24, 48))
    resumed = own_items(48, done=36, batch=2, rank=1, ranks=3)
    assert list(resumed) == [38, 39, 44, 45]


def test_the_place_is_torchruns_or_sruns_and_nobody_elses() -> None:
    started = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_PORT": "29500"}
    place = place_of(started | {"MASTER_ADDR": "n1", "SLURM_PROCID": "0"})
    assert (place.rank, place.size, place.local, place.address) == (3, 4, 1, "n1")
    inside_a_batch_script = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"}
    with pytest.raises(UsageError, match="not set"):
        place_of(inside_a_batch_script)
    with pytest.raises(UsageError, match="MASTER_PORT"):
        place_of(started | {"MASTER_PORT": "many"})
