"""Record: before the first step and after every epoch, score and keep the best weights."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from math import isfinite, nan
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from bids_synth.learn.fit.distributed import agreed
from bids_synth.learn.fit.finite import is_finite
from bids_synth.learn.fit.preview import FILE, add_preview
from bids_synth.spatial.volume import write_text
from bids_synth.system.os_errors import naming
from bids_synth.system.signals import Preempted, asked, claim, released

LOG = logging.getLogger(__name__)
Row = dict[str, float | int | None]
STATE = "last.ckpt"
"""Name of the state from which a fit goes on."""
START = -1
"""The epoch of weights that no step has changed."""
COLUMNS = (
    "fold",
    "member",
    "epoch",
    "step",
    "loss",
    "validation_score",
    "learning_rate",
    "discriminator_loss",
    "discriminator_accuracy",
    "data_wait_fraction",
    "seconds",
)


class Record(Callback):  # type: ignore[misc]
    """The curve of one member and its best averaged weights, as state that is resumed.

    `data_wait_fraction` counts everything between two steps, the fetching of patches and
    Lightning's own work alike, against the time of the whole loop without validation.

    Where a scheduler asks the run to end, the state is saved after the step that is going on
    and Preempted is raised; validation is broken off and done again by the next run.
    """

    def __init__(
        self,
        place: Path,
        validate: Callable[[nn.Module], float],
        *,
        fold: int,
        member: int,
        watch: Callable[[int, float], None] | None = None,
    ) -> None:
        self.place = place
        self.validate = validate
        self.watch = watch
        self.fold, self.member = fold, member
        self.rows: list[Row] = []
        self.best: dict[str, torch.Tensor] = {}
        self.best_score = -float("inf")
        self.best_epoch = START
        self.loss: torch.Tensor | None = None
        self._losses: list[torch.Tensor] = []
        self._due: dict[str, float] | None = None
        self._began = self._ended = self._waited = 0.0

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed fit needs to go on with the same curve."""
        return {
            "rows": self.rows,
            "best": self.best,
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "losses": [float(loss) for loss in self._losses],
            "due": self._due,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the curve of an interrupted fit."""
        self.rows = state_dict["rows"]
        self.best = state_dict["best"]
        self.best_score = state_dict["best_score"]
        self.best_epoch = state_dict["best_epoch"]
        self._losses = [torch.tensor(loss) for loss in state_dict.get("losses", [])]
        self._due = state_dict.get("due")

    def on_fit_start(self, loop: Trainer, module: Any) -> None:
        """Score what the fit begins with, or close the epoch whose validation was broken off.

        A linear answer or the weights of another model are a candidate like any other, so that
        no fit ends below them.
        """
        if self._due is not None:
            self._close_epoch(loop, module)
        elif not self.best and not self.rows:
            self._weigh(module.average, START)
        leave_if_asked()

    def on_train_start(self, *_: Any) -> None:
        """Take the signals from Lightning, and start the clocks, also in mid-epoch."""
        claim()
        self._start_clocks()

    def on_train_epoch_start(self, *_: Any) -> None:
        """Forget the losses of the last epoch."""
        self._losses = []
        self._start_clocks()

    def on_train_batch_start(self, *_: Any) -> None:
        """Count the time since the last step as waiting."""
        self._waited += time.perf_counter() - self._ended

    def on_train_batch_end(
        self, loop: Trainer, module: Any, outputs: Any, _: Any, number: int
    ) -> None:
        """Remember the loss; log it now and then; save and end where that was asked."""
        self.loss = outputs["loss"].detach()
        self._losses.append(self.loss)
        if loop.logger is not None and module.steps_done % 25 == 0:
            loop.logger.log_metrics({"loss": float(self.loss)}, module.steps_done)
        if number + 1 < loop.num_training_batches:
            leave_if_asked(lambda: save_state(loop, self.place / STATE))
        self._ended = time.perf_counter()

    def on_train_epoch_end(self, loop: Trainer, module: Any) -> None:
        """Score the averaged weights, keep them where they are the best, save everything."""
        self._due = {
            "epoch": loop.current_epoch,
            "rate": loop.optimizers[0].param_groups[0]["lr"],
            "waited": self._waited,
            "spent": max(self._ended - self._began, 1e-9),
        }
        epoch = loop.current_epoch
        try:
            score = self._close_epoch(loop, module)
        finally:
            save_state(loop, self.place / STATE)
        leave_if_asked()
        if self.watch is not None:
            self.watch(epoch, score)

    def _start_clocks(self) -> None:
        self._waited = 0.0
        self._began = self._ended = time.perf_counter()

    def _close_epoch(self, loop: Trainer, module: Any) -> float:
        """The score of the epoch that is due; Preempted, and it stays due, where broken off."""
        due = self._due or {}
        epoch = int(due["epoch"])
        score = self._weigh(module.average, epoch)
        self._add_row(loop, module, score, due)
        self._losses, self._due = [], None
        write_text(rows_to_tsv(self.rows), self.place / "training.tsv")
        if look := getattr(self.validate, "look", None):
            add_preview(look, self.place / FILE, epoch, score)
        return score

    def _weigh(self, average: nn.Module, epoch: int) -> float:
        """Validation score of weights, which are kept where none were better.

        Weights or a score that are NaN or infinite are never kept.
        """
        try:
            with released():
                score = self.validate(average)
        except Preempted:
            agreed(answer=True)
            raise
        whole = isfinite(score) and is_finite(average.state_dict())
        if not whole:
            told = (
                "fold %d member %d: weights of epoch %d are not kept, their validation score is %s"
            )
            LOG.warning(told, self.fold, self.member, epoch, score)
        elif score > self.best_score:
            self.best_score, self.best_epoch = score, epoch
            self.best = {
                k: v.detach().cpu().clone(memory_format=torch.contiguous_format)
                for k, v in average.state_dict().items()
            }
        return score

    def _add_row(self, loop: Trainer, module: Any, score: float, due: Mapping[str, float]) -> None:
        health = module.health()
        values = (
            self.fold,
            self.member,
            int(due["epoch"]),
            module.steps_done,
            float(torch.stack([loss.cpu() for loss in self._losses]).mean()),
            score,
            float(due["rate"]),
            health.get("discriminator_loss", nan),
            health.get("discriminator_accuracy", nan),
            due["waited"] / due["spent"],
            due["spent"],
        )
        row: Row = dict(zip(COLUMNS, values, strict=True))
        self.rows.append(row)
        if loop.logger is not None:
            figures = {c: float(row[c] or 0.0) for c in COLUMNS[4:]} | dict(health)
            logged = {f"epoch/{name}": v for name, v in figures.items() if isfinite(v)}
            loop.logger.log_metrics(logged, module.steps_done)


def leave_if_asked(save: Callable[[], None] | None = None) -> None:
    """Raise Preempted, in all processes of a fit at the same step, where any was asked to end."""
    if agreed(asked()):
        if save is not None:
            save()
        raise Preempted


def save_state(loop: Trainer, path: Path) -> None:
    """Lightning's whole state by rename, so that a kill leaves the last one or the new one."""
    part = path.with_suffix(".part")
    try:
        with naming(path):
            loop.save_checkpoint(part)
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def rows_to_tsv(rows: Sequence[Row]) -> str:
    """The curve as a table, numbers with six digits, n/a where there is none.

    >>> rows_to_tsv([dict.fromkeys(COLUMNS, 1 / 3)]).splitlines()[1].split(chr(9))[0]
    '0.333333'
    """
    lines = ["\t".join(COLUMNS)]
    lines += ["\t".join(_digits(row.get(c)) for c in COLUMNS) for row in rows]
    return "\n".join(lines) + "\n"


def _digits(value: float | None) -> str:
    return "n/a" if value is None or not isfinite(value) else f"{value:.6g}"
