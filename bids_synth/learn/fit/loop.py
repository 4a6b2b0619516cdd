"""Loop: all steps of the fit of one member, from where it was left; read it from the top."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments import LightningEnvironment
from safetensors.torch import save_file
from torch import nn

from bids_synth.errors import FitError
from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.data.batches import Item, batches
from bids_synth.learn.data.dataset import Patches, own_items
from bids_synth.learn.data.points import Points
from bids_synth.learn.data.unpaired import UnpairedPatches
from bids_synth.learn.fit.distributed import (
    agreed,
    average_gradients,
    in_step,
    rank,
    ranks,
    tell,
)
from bids_synth.learn.fit.finite import DivergedError, require_step, what_to_change
from bids_synth.learn.fit.member import Member
from bids_synth.learn.fit.record import START, Record
from bids_synth.learn.fit.unpaired_score import AnySelection
from bids_synth.learn.model.start import save_start
from bids_synth.learn.objectives import OBJECTIVES
from bids_synth.learn.objectives.objective import Objective, update_average
from bids_synth.learn.objectives.schedule import averaging_decay, rate_factor, schedule_of
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.network import POINTWISE
from bids_synth.spatial.volume import json_text, write_text
from bids_synth.system.os_errors import naming
from bids_synth.system.signals import Preempted, asked, held

Optimizers = Sequence[torch.optim.Optimizer]
PROCESSOR = torch.device("cpu")
CLIP = 1.0
"""Largest norm of the gradients of one player."""


@dataclass(frozen=True, eq=False)
class Job:
    """What every process of a fit needs to take part in it."""

    member: Member
    training: Sequence[Stored]
    network: nn.Module
    """As it is before the first step."""
    features: nn.Module | None = None
    """What the objective compares images by, where the recipe asks for it."""


def fit_member(
    member: Member,
    training: Sequence[Stored],
    selection: AnySelection,
    initial: Callable[[], nn.Module],
    *,
    quiet: bool,
    features: nn.Module | None = None,
    fitted_before: bool = False,
    watch: Callable[[int, float], None] | None = None,
) -> None:
    """Fit, or go on fitting, and write weights and curve; nothing where that is done.

    The answer that it begins from is kept; with `fitted_before` that of all its weights.
    `watch` is told epoch and validation score after each look, and may raise to end the fit.
    Raises FitError where loss, gradients or every validation score are NaN or infinite (the state
    that is kept is an earlier one), KeyboardInterrupt where the user stopped it, and Preempted
    where a scheduler did; its state is kept, in the latter case that of the last step.
    """
    if member.fitted() is not None:
        return
    member.claim()
    record, rate = Record(member, selection), member.recipe.fit.learning_rate
    with calm(selection.device):
        network = initial()
        save_start(network, member.start, complete=fitted_before)
        job = Job(member, training, network, features)
        try:
            with held(), in_step():
                tell(job)
                fit(job, selection.device, record, quiet=quiet, watch=watch)
        except DivergedError as error:
            fix = what_to_change(rate, precision_on(selection.device))
            message = f"{member}, {error}: the fit is stopped; {fix}"
            raise FitError(message) from error
    if not record.best:
        fix = what_to_change(rate, "32-true")
        message = f"{member}: no validation score is a number, so no weights are kept; {fix}"
        raise FitError(message)
    save_file(record.best, member.place / "weights.part")
    (member.place / "weights.part").replace(member.weights)
    write_text(json_text({"key": member.key, **record.summary()}, indent=None), member.result)
    member.state.unlink(missing_ok=True)


def fit(
    job: Job,
    device: torch.device,
    record: Record,
    *,
    quiet: bool = True,
    watch: Callable[[int, float], None] | None = None,
) -> None:
    """Take all steps that are left, in every process of the fit on its share of the items.

    The state is kept after every epoch, and after the step that is going on where a scheduler
    asks the run to end; then Preempted is raised in all processes at the same step. Validation is
    broken off, and done again by the next run. `watch` is told epoch and validation score after
    each look, and may raise to end the fit.
    """
    schedule = schedule_of(job.member.recipe)
    fabric = fabric_on(device)
    objective = fabric.to_device(objective_of(job, schedule.steps))
    optimizers = objective.optimizers()
    load_state(job.member.state, objective, optimizers, record)

    def save() -> None:
        save_state(fabric, job.member.state, objective, optimizers, record)

    shares = closing(batches_of(job, schedule.steps, objective.steps_done, device))
    with record.shown(objective.steps_done, quiet=quiet), shares as share:
        if record.due is not None:  # The last run was asked to end in the midst of a look.
            record.close_epoch(objective)
        elif objective.steps_done == 0:  # No fit ends below what it begins with.
            record.weigh(objective.average, START)
        leave_if_asked()
        record.start_clocks()
        for batch in share:
            record.begin_step()
            loss = take_step(fabric, objective, optimizers, fabric.to_device(batch))
            record.end_step(loss, objective.steps_done)
            if objective.steps_done % schedule.per_epoch > 0:
                leave_if_asked(save)
                continue
            epoch = objective.steps_done // schedule.per_epoch - 1
            record.end_epoch(epoch, rate_of(objective, optimizers[0]))
            try:
                score = record.close_epoch(objective)
            finally:
                save()
            leave_if_asked()
            if watch is not None:
                watch(epoch, score)
            record.start_clocks()


def take_step(
    fabric: Fabric, objective: Objective, optimizers: Optimizers, batch: Item
) -> torch.Tensor:
    """One step of every player, then one of the average; the loss of the generator.

    It begins from torch's random state of this very step and process, so that a resumed fit draws
    what an undisturbed one would have drawn.
    """
    step = objective.steps_done
    torch.manual_seed((objective.seed * 1_000_003 + step + rank() * 2**40) % 2**63)
    losses = []
    with fabric.autocast():
        for optimizer, loss in zip(optimizers, objective.losses(batch), strict=False):
            optimizer.param_groups[0]["lr"] = rate_of(objective, optimizer)
            descend(fabric, optimizer, loss, step)
            losses.append(loss.detach())
    objective.steps_done += 1
    decay = averaging_decay(objective.steps_done, objective.recipe.fit.ema)
    update_average(objective.average, objective.network, decay)
    return losses[0]


def descend(
    fabric: Fabric, optimizer: torch.optim.Optimizer, loss: torch.Tensor, step: int
) -> None:
    """One step of one player, by the mean gradient of all processes.

    Raises DivergedError, the step not taken, where loss or gradient are NaN or infinite.
    """
    learning = optimizer.param_groups[0]["params"]
    optimizer.zero_grad(set_to_none=True)
    fabric.backward(loss)
    average_gradients(learning)
    norm = nn.utils.clip_grad_norm_(learning, CLIP)
    finite = torch.isfinite(norm) & torch.isfinite(loss.detach()).all()
    if agreed(not bool(finite)):  # Asked of all, so that none waits for one that has left.
        require_step(step, loss, norm)
    optimizer.step()


def rate_of(objective: Objective, optimizer: torch.optim.Optimizer) -> float:
    """The learning rate of a player in the step that comes."""
    factor = rate_factor(objective.steps_done, objective.steps, objective.recipe.fit.decay)
    return float(optimizer.param_groups[0]["initial_lr"] * factor)


def precision_on(device: torch.device) -> str:
    """Mixed on a card that computes in bfloat16, else 32 bits."""
    if device.type != "cuda":
        return "32-true"
    with torch.cuda.device(device):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if native else "32-true"


def fabric_on(device: torch.device) -> Fabric:
    """One device for each process; deterministic as far as torch is."""
    cuda = device.type == "cuda"
    # Trilinear upsampling has no deterministic gradient on CUDA: warn, do not refuse.
    torch.use_deterministic_algorithms(mode=True, warn_only=cuda)
    torch.backends.cudnn.benchmark = False
    # The gradients of a weight that is used twice in a step would be summed in 16 bits.
    torch.set_autocast_cache_enabled(False)
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    fabric = Fabric(
        accelerator="cuda" if cuda else "cpu",
        devices=[device.index or 0] if cuda else 1,
        precision=precision_on(device),
        # Without it Lightning would look for SLURM and start processes of its own.
        plugins=[LightningEnvironment()],
    )
    fabric.launch()  # Makes the card the current one of this process.
    return fabric


def objective_of(job: Job, steps: int) -> Objective:
    """The recipe's objective around the network of the job."""
    recipe = job.member.recipe
    more = {} if job.features is None else {"features": job.features}
    kind = OBJECTIVES[recipe.objective.name]
    return kind(recipe, job.network, steps=steps, seed=job.member.own_seed, **more)


def batches_of(
    job: Job, steps: int, done: int, device: torch.device = PROCESSOR
) -> Generator[Item]:
    """This process's share of every step that is left, on a device."""
    recipe, batch = job.member.recipe, job.member.recipe.fit.batch
    wide = batch * ranks()
    items = dataset_of(recipe)(recipe, job.training, seed=job.member.own_seed, total=steps * wide)
    own = own_items(steps * wide, done=done * wide, batch=batch, rank=rank(), ranks=ranks())
    return batches(items, own, batch, device)


def dataset_of(recipe: Recipe) -> type[Patches | UnpairedPatches]:
    """What the recipe's network learns from."""
    if recipe.network.name in POINTWISE:
        return Points
    return UnpairedPatches if recipe.unpaired else Patches


def load_state(path: Path, objective: Objective, optimizers: Optimizers, record: Record) -> None:
    """Take up what `save_state` has written; nothing where there is none."""
    if not path.is_file():
        return
    state = torch.load(path, map_location="cpu", weights_only=True)
    objective.resume(state)
    record.resume(state["record"])
    for optimizer, own in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(own)


def save_state(
    fabric: Fabric, path: Path, objective: Objective, optimizers: Optimizers, record: Record
) -> None:
    """All that decides how the fit goes on, by rename: a kill leaves the last one or this."""
    if rank() > 0:
        return
    own = [optimizer.state_dict() for optimizer in optimizers]
    state = objective.state() | {"optimizers": own, "record": record.state()}
    part = path.with_suffix(".part")
    try:
        with naming(path):
            fabric.save(part, state)
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def leave_if_asked(save: Callable[[], None] | None = None) -> None:
    """Raise Preempted, in all processes of a fit at the same step, where any was asked to end."""
    if agreed(asked()):
        if save is not None:
            save()
        raise Preempted


@contextmanager
def calm(device: torch.device) -> Iterator[None]:
    """Lightning's notices off, and torch's global switches put back afterwards."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    strict = torch.are_deterministic_algorithms_enabled()
    switches: Any = torch.utils.deterministic
    filled = switches.fill_uninitialized_memory
    benchmark, cached = torch.backends.cudnn.benchmark, torch.is_autocast_cache_enabled()
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        # Filling every new tensor with NaN finds faults in torch, not here, and costs time.
        switches.fill_uninitialized_memory = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        torch.use_deterministic_algorithms(strict)
        switches.fill_uninitialized_memory = filled
        torch.backends.cudnn.benchmark = benchmark
        torch.set_autocast_cache_enabled(cached)
        if device.type == "cuda":
            torch.cuda.empty_cache()
