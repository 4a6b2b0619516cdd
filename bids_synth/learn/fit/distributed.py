"""Distributed: several processes fit one model, each on its share of every batch.

Gradients and the denominators of the losses are averaged over the processes, so that N of them
make the step of one process with an N times larger batch. Who is who comes from the variables
of torchrun or of srun. In a single process everything here does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.rendezvous import rendezvous

from bids_synth.errors import UsageError
from bids_synth.system.signals import Preempted

ARRIVAL = timedelta(minutes=30)
"""How long a process waits for the others to start; one of them may have ended with a fault."""
PATIENCE = timedelta(days=7)
"""How long the others wait for what the first process prepares, scores and writes."""


@dataclass(frozen=True)
class Place:
    """Which of how many processes this is, and where the first one listens."""

    rank: int
    size: int
    local: int
    """Number of the process on its machine, and of its CUDA card."""
    address: str
    port: int


def place_of(environment: Mapping[str, str]) -> Place:
    """The place that torchrun's variables give, else srun's; UsageError where there are none.

    >>> place_of({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0",
    ...           "SLURM_STEP_NODELIST": "n[3-4]", "SLURM_JOB_ID": "17"})
    Place(rank=1, size=2, local=0, address='n3', port=15017)
    """
    variables = dict(environment)
    if "RANK" in variables and "WORLD_SIZE" in variables:
        return Place(
            rank=_number(variables, "RANK"),
            size=_number(variables, "WORLD_SIZE"),
            local=_number(variables, "LOCAL_RANK"),
            address=variables.get("MASTER_ADDR", "localhost"),
            port=_number(variables, "MASTER_PORT"),
        )
    if "SLURM_STEP_NUM_TASKS" in variables and "SLURM_PROCID" in variables:
        first = _first_node(variables.get("SLURM_STEP_NODELIST", ""))
        variables.setdefault("MASTER_PORT", str(15000 + _number(variables, "SLURM_JOB_ID") % 5000))
        return Place(
            rank=_number(variables, "SLURM_PROCID"),
            size=_number(variables, "SLURM_STEP_NUM_TASKS"),
            local=_number(variables, "SLURM_LOCALID"),
            address=variables.get("MASTER_ADDR", first),
            port=_number(variables, "MASTER_PORT"),
        )
    message = (
        "--distributed: the variables of torchrun (RANK, WORLD_SIZE) or of srun (SLURM_PROCID, "
        "SLURM_STEP_NUM_TASKS) are not set; start the command by one of them, and pass its "
        "variables into the container"
    )
    raise UsageError(message)


def join(place: Place) -> None:
    """Meet the other processes; UsageError where they have not all come in time."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    meeting = f"tcp://{place.address}:{place.port}"
    try:
        store, *_ = next(rendezvous(meeting, place.rank, place.size, timeout=ARRIVAL))
        distributed.init_process_group(
            backend, store=store, rank=place.rank, world_size=place.size, timeout=PATIENCE
        )
    except distributed.DistError as error:
        message = (
            f"--distributed: process {place.rank} of {place.size} found not all of the others "
            f"at {place.address}:{place.port} within {ARRIVAL}: {error}; see what they said"
        )
        raise UsageError(message) from error


def leave() -> None:
    """Part from the others."""
    if ranks() > 1:
        distributed.destroy_process_group()


def ranks() -> int:
    """How many processes fit together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process; 0 scores and writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def agreed(answer: bool) -> bool:  # noqa: FBT001 (it is the question)
    """True in every process where it is in any: none may leave while another goes on."""
    if ranks() == 1:
        return answer
    votes = torch.tensor(int(answer))
    distributed.all_reduce(votes)
    return bool(votes)


def divisor(weight: torch.Tensor) -> torch.Tensor:
    """What a weighted sum is divided by, at least 1: the mean over the processes of its weight.

    With it the mean of their losses is the loss of all their items together.
    """
    total = weight.sum()
    if ranks() > 1:
        total = total.detach().clone()
        distributed.all_reduce(total)
    return total.clamp_min(1) / ranks()


def share(count: int) -> float:
    """Weight of this process's mean over `count` values beside those of the others; mean 1."""
    if ranks() == 1:
        return 1.0
    total = torch.tensor(float(count))
    distributed.all_reduce(total)
    return count * ranks() / float(total)


@contextmanager
def in_step() -> Iterator[None]:
    """Inside, all processes go step by step: one that a fault throws out parts from the others.

    They wait for its part of a step, not for a message, and hear of the fault by the end of the
    connection. Preempted is raised in all of them at once.
    """
    try:
        yield
    except Preempted:
        raise
    except BaseException:
        leave()
        raise


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Mean gradient of each parameter; None where no process has one."""
    if ranks() == 1:
        return
    kept = list(parameters)
    present = torch.tensor([p.grad is not None for p in kept], device=kept[0].device).float()
    parts = [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in kept]
    flat = torch.cat([present, *parts])
    distributed.all_reduce(flat)
    begun = len(kept)
    for parameter, has in zip(kept, flat[:begun].tolist(), strict=True):
        end = begun + parameter.numel()
        mean = flat[begun:end].view_as(parameter) / ranks()
        # A fused optimiser takes for granted that a gradient lies in memory as its parameter.
        parameter.grad = torch.empty_like(parameter).copy_(mean) if has else None
        begun = end


def tell(what: object) -> None:
    """Give every other process what it is to do next."""
    if ranks() > 1:
        distributed.broadcast_object_list([what], device=torch.device("cpu"))


def listen() -> Any:
    """Wait for what the first process tells."""
    orders: list[Any] = [None]
    distributed.broadcast_object_list(orders, device=torch.device("cpu"))
    return orders[0]


def _first_node(nodes: str) -> str:
    """Name of the first node of SLURM's short list."""
    # Here, as synthesis imports this module and must do without Lightning.
    from lightning.pytorch.plugins.environments import SLURMEnvironment

    return str(SLURMEnvironment.resolve_root_node_address(nodes))


def _number(variables: Mapping[str, str], name: str) -> int:
    try:
        return int(variables[name])
    except (KeyError, ValueError) as error:
        message = (
            f"--distributed: the variable {name} is {variables.get(name)!r}; expected a number"
        )
        raise UsageError(message) from error
