"""Record: after every epoch, score, keep the best weights, write the curve and the state."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from math import isfinite, nan
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from bids_synth.learn.preview import FILE, add_preview
from bids_synth.volume import write_text

Row = dict[str, float | int]
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
        self.best_epoch = -1
        self.loss: torch.Tensor | None = None
        self._losses: list[torch.Tensor] = []
        self._began = self._ended = self._waited = 0.0

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed fit needs to go on with the same curve."""
        return {
            "rows": self.rows,
            "best": self.best,
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the curve of an interrupted fit."""
        self.rows = state_dict["rows"]
        self.best = state_dict["best"]
        self.best_score = state_dict["best_score"]
        self.best_epoch = state_dict["best_epoch"]

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clocks."""
        self._losses, self._waited = [], 0.0
        self._began = self._ended = time.perf_counter()

    def on_train_batch_start(self, *_: Any) -> None:
        """Count the time since the last step as waiting."""
        self._waited += time.perf_counter() - self._ended

    def on_train_batch_end(self, loop: Trainer, module: Any, outputs: Any, *_: Any) -> None:
        """Remember the loss; log it now and then."""
        self.loss = outputs["loss"].detach()
        self._losses.append(self.loss)
        if loop.logger is not None and module.steps_done % 25 == 0:
            loop.logger.log_metrics({"loss": float(self.loss)}, module.steps_done)
        self._ended = time.perf_counter()

    def on_train_epoch_end(self, loop: Trainer, module: Any) -> None:
        """Score the averaged weights, keep them where they are the best, save everything."""
        spent = max(self._ended - self._began, 1e-9)
        average = module.average
        score = self.validate(average)
        if score > self.best_score or not self.best:
            self.best_score, self.best_epoch = score, loop.current_epoch
            self.best = {
                k: v.detach().cpu().clone(memory_format=torch.contiguous_format)
                for k, v in average.state_dict().items()
            }
        self._add_row(loop, module, score, spent)
        write_text(rows_to_tsv(self.rows), self.place / "training.tsv")
        if look := getattr(self.validate, "look", None):
            add_preview(look, self.place / FILE, loop.current_epoch, score)
        save_state(loop, self.place / "last.ckpt")
        if self.watch is not None:
            self.watch(loop.current_epoch, score)

    def _add_row(self, loop: Trainer, module: Any, score: float, spent: float) -> None:
        rate = loop.optimizers[0].param_groups[0]["lr"]
        health = module.health()
        values = (
            self.fold,
            self.member,
            loop.current_epoch,
            module.steps_done,
            float(torch.stack(self._losses).mean()),
            score,
            float(rate),
            health.get("discriminator_loss", nan),
            health.get("discriminator_accuracy", nan),
            self._waited / spent,
            spent,
        )
        row: Row = dict(zip(COLUMNS, values, strict=True))
        self.rows.append(row)
        if loop.logger is not None:
            figures = {c: float(row[c]) for c in COLUMNS[4:]} | dict(health)
            logged = {f"epoch/{name}": v for name, v in figures.items() if isfinite(v)}
            loop.logger.log_metrics(logged, module.steps_done)


def save_state(loop: Trainer, path: Path) -> None:
    """Lightning's whole state by rename, so that a kill leaves the last one or the new one."""
    part = path.with_suffix(".part")
    loop.save_checkpoint(part)
    os.replace(part, path)


def rows_to_tsv(rows: Sequence[Row]) -> str:
    """The curve as a table, numbers with six digits, n/a where there is none.

    >>> rows_to_tsv([dict.fromkeys(COLUMNS, 1 / 3)]).splitlines()[1].split(chr(9))[0]
    '0.333333'
    """
    lines = ["\t".join(COLUMNS)]
    lines += ["\t".join(_digits(row.get(c, nan)) for c in COLUMNS) for row in rows]
    return "\n".join(lines) + "\n"


def _digits(value: float) -> str:
    return f"{value:.6g}" if value == value else "n/a"
