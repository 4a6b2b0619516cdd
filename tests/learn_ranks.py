"""One of several processes that fit a toy: `python learn_ranks.py FOLDER OBJECTIVE BATCH`."""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path
from typing import Any

import torch
from learn_objective_toys import toy_of
from learn_toys import make_visit, minus_error, toy_split
from lightning.fabric import Fabric
from safetensors.torch import save_file

from bids_synth.errors import BidsSynthError
from bids_synth.learn.fit import loop
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.fit.follower import run_together
from bids_synth.learn.fit.selection import Selection
from bids_synth.learn.model.model import Model
from bids_synth.system.signals import EX_TEMPFAIL, Preempted, obeying


class DoubleFabric(Fabric):
    """Networks and batches in float64."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"precision": "64-true"})

    def to_device(self, what: Any) -> Any:
        if isinstance(what, torch.nn.Module):
            return super().to_device(what).double()
        batch = super().to_device(what)
        return {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}


def in_double_precision() -> None:
    """Fit in float64 and keep the last weights.

    AdamW makes a full step of any gradient, so that in float32 the rounding of a sum that ought
    to be 0 (of a bias before a normalisation) is as large as a step.
    """
    loop.Fabric = DoubleFabric
    loop.save_file = lambda weights, path: save_file(
        {k: v.float() if v.dtype == torch.float64 else v for k, v in weights.items()}, path
    )
    looks = count()
    Selection.__call__ = lambda _, network: float(next(looks))


def fit_toy(folder: Path, objective: str, batch: int) -> Model:
    """One member on four participants; the same visits as all other toys."""
    prepared = [make_visit(folder / "prepared", p, shape=(20, 20, 20)) for p in "abce"]
    return fit_model(
        toy_of(objective, members=1, batch=batch),
        prepared,
        toy_split(training="abc"),
        minus_error,
        folder=folder / "models" / "toy",
        work=folder / "work",
        seed=5,
        device="cpu",
        quiet=True,
    )


def main(folder: Path, objective: str, batch: int) -> int:
    def lead() -> int:
        fit_toy(folder, objective, batch)
        return 0

    try:
        with obeying():
            return run_together(lead, environment=os.environ, device="cpu")
    except Preempted:
        return EX_TEMPFAIL
    except BidsSynthError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    in_double_precision()
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
