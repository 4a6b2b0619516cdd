"""Member: fit one network of one fold, from where it was left, to its best weights."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader

from bids_synth.errors import FitError
from bids_synth.learn.baselines.linear import Gramian
from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.data.dataset import EpochSampler, Patches
from bids_synth.learn.data.unpaired import UnpairedPatches
from bids_synth.learn.fit.distributed import in_step, rank, ranks, share_weights, tell
from bids_synth.learn.fit.finite import DivergedError, what_to_change
from bids_synth.learn.fit.progress import Progress
from bids_synth.learn.fit.record import STATE, Record
from bids_synth.learn.fit.selection import Selection
from bids_synth.learn.fit.unpaired_score import ProxySelection
from bids_synth.learn.model.start import save_start
from bids_synth.learn.networks import Quantiles, build_network, start_linear
from bids_synth.learn.objectives import OBJECTIVES
from bids_synth.learn.objectives.schedule import schedule_of
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import json_text, write_text
from bids_synth.system.signals import held


@dataclass(frozen=True)
class Member:
    """One network to fit: everything that decides its weights, and where it is kept."""

    recipe: Recipe
    fold: int
    number: int
    """0-based place among the members of the fold."""
    seed: int
    """Master seed of the run."""
    key: str
    """Digest of all that decides the fit; a state of another key is not resumed."""
    place: Path
    """Folder of its state, weights and curve."""
    logs: Path
    """Folder of its TensorBoard events."""

    @property
    def own_seed(self) -> int:
        """Seed of this member alone."""
        mixed = np.random.SeedSequence([self.seed, self.fold, self.number])
        return int(mixed.generate_state(1)[0])

    @property
    def weights(self) -> Path:
        """The best averaged weights, there when the fit is over."""
        return self.place / "weights.safetensors"

    @property
    def start(self) -> Path:
        """The answer that the fit began from, there where it began from one."""
        return self.place / "start.safetensors"

    def fitted(self) -> dict[str, Any] | None:
        """Key, score, epoch and curve of a finished fit of this very key, else None."""
        try:
            data: dict[str, Any] = json.loads((self.place / "fitted.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return data if data.get("key") == self.key and self.weights.is_file() else None


def initial_network(
    member: Member, gramian: Callable[[], Gramian], quantiles: Quantiles
) -> nn.Module:
    """Weights from the member's seed, and the answer of the training visits to start from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(member.own_seed)
        network = build_network(member.recipe)
    start_linear(network, member.recipe, gramian, quantiles)
    return network


def fit_member(
    member: Member,
    training: Sequence[Stored],
    selection: Selection | ProxySelection,
    initial: Callable[[], nn.Module],
    *,
    quiet: bool,
    features: nn.Module | None = None,
    fitted_before: bool = False,
    watch: Callable[[int, float], None] | None = None,
) -> None:
    """Fit, or go on fitting, and write weights and curve; nothing where that is done.

    The answer that it begins from is kept; with `fitted_before` that of all its weights.
    `features` is what the objective compares images by, where the recipe asks for it.
    `watch` is told epoch and validation score after each look, and may raise to end the fit.
    Raises FitError where loss, gradients or every validation score are NaN or infinite (the state
    that is kept is an earlier one), KeyboardInterrupt where the user stopped it, and Preempted
    where a scheduler did; its state is kept, in the latter case that of the last step.
    """
    if member.fitted() is not None:
        return
    state = _last_state(member)
    record = Record(member.place, selection, fold=member.fold, member=member.number, watch=watch)
    title = f"fold {member.fold} member {member.number}"
    bars = [] if quiet else [Progress(record, schedule_of(member.recipe), title)]
    with calm(selection.device):
        network = initial()
        save_start(network, member.start, whole=fitted_before)
        with held(), in_step():
            tell(order_of(member, training, state))
            learn(member, training, selection.device, network, [*bars, record], state, features)
    if not record.best:
        raise FitError(_never_finite(member))
    save_file(record.best, member.place / "weights.part")
    (member.place / "weights.part").replace(member.weights)
    data = {
        "key": member.key,
        "score": record.best_score,
        "epoch": record.best_epoch,
        "rows": record.rows,
    }
    write_text(json_text(data, indent=None), member.place / "fitted.json")
    (member.place / STATE).unlink(missing_ok=True)


def learn(
    member: Member,
    training: Sequence[Stored],
    device: torch.device,
    network: nn.Module,
    callbacks: list[Callback],
    state: Path | None,
    features: nn.Module | None,
) -> None:
    """All steps that are left, in every process of the fit on its share of the items."""
    recipe, schedule = member.recipe, schedule_of(member.recipe)
    batch = recipe.fit.batch
    wide = batch * ranks()
    kind = UnpairedPatches if recipe.unpaired else Patches
    patches = kind(recipe, training, seed=member.own_seed, total=schedule.steps * wide)
    done = _step_of(state)
    sampler = EpochSampler(
        schedule.per_epoch * wide, done=done * wide, batch=batch, rank=rank(), ranks=ranks()
    )
    loader = DataLoader(patches, batch, sampler=sampler)
    objective, more = OBJECTIVES[recipe.objective.name], {}
    if features is not None:
        more["features"] = features
    share_weights(network)
    module = objective(recipe, network, steps=schedule.steps, seed=member.own_seed, **more)
    loop = _loop(member, device, callbacks, schedule.epochs, done)
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        loop.fit(module, loader, ckpt_path=state, weights_only=True)
    except DivergedError as error:
        fix = what_to_change(recipe.fit.learning_rate, str(loop.precision))
        message = f"{_told(member)}, {error}: the fit is stopped; {fix}"
        raise FitError(message) from error
    except SystemExit as error:
        # Lightning turns Ctrl-C into an exit and leaves further ones ignored.
        signal.signal(signal.SIGINT, on_interrupt)
        raise (error.__context__ or error) from None


def _told(member: Member) -> str:
    return f"recipe {member.recipe.name}, fold {member.fold}, member {member.number}"


def _never_finite(member: Member) -> str:
    fix = what_to_change(member.recipe.fit.learning_rate, "32-true")
    return f"{_told(member)}: no validation score is a number, so no weights are kept; {fix}"


def _loop(
    member: Member, device: torch.device, callbacks: list[Callback], epochs: int, step: int
) -> Trainer:
    cuda = device.type == "cuda"
    logs = member.logs
    return Trainer(
        accelerator="gpu" if cuda else "cpu",
        devices=[device.index or 0] if cuda else 1,
        precision="bf16-mixed" if cuda else "32-true",
        # Trilinear upsampling has no deterministic gradient on CUDA: warn, do not refuse.
        deterministic="warn" if cuda else True,
        max_epochs=epochs,
        callbacks=callbacks,
        # Without it Lightning would look for SLURM and requeue the job itself.
        plugins=[LightningEnvironment()],
        logger=rank() == 0
        and TensorBoardLogger(logs.parent, name="", version=logs.name, purge_step=step),
        default_root_dir=member.place,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def order_of(member: Member, training: Sequence[Stored], state: Path | None) -> dict[str, Any]:
    """What another process needs to take part in the fit of a member, as JSON."""
    return {
        "recipe": member.recipe.model_dump(mode="json"),
        "fold": member.fold,
        "number": member.number,
        "seed": member.seed,
        "key": member.key,
        "place": str(member.place),
        "logs": str(member.logs),
        "state": state is not None,
        "visits": [
            [v.label, v.participant, list(v.images), [str(f) for f in v.folders]] for v in training
        ],
    }


def _last_state(member: Member) -> Path | None:
    """The saved state of this very fit; anything else in the folder is removed."""
    path, mark = member.place / STATE, member.place / "key.txt"
    known = mark.read_text("utf-8") if mark.is_file() else ""
    if known == member.key:
        return path if path.is_file() else None
    shutil.rmtree(member.place, ignore_errors=True)
    shutil.rmtree(member.logs, ignore_errors=True)
    write_text(member.key, mark)
    return None


def _step_of(state: Path | None) -> int:
    if state is None:
        return 0
    data = torch.load(state, map_location="cpu", weights_only=True, mmap=True)
    return int(data["steps_done"])


@contextmanager
def calm(device: torch.device) -> Iterator[None]:
    """Lightning's notices off, and torch's global switches put back afterwards."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    strict = torch.are_deterministic_algorithms_enabled()
    switches: Any = torch.utils.deterministic
    filled = switches.fill_uninitialized_memory
    benchmark = torch.backends.cudnn.benchmark
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
        if device.type == "cuda":
            torch.cuda.empty_cache()
