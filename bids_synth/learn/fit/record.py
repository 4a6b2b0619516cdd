"""Record: before the first step and after every epoch, score and keep the best weights."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite, nan
from typing import Any

import torch
from lightning.fabric.loggers import TensorBoardLogger
from torch import nn

from bids_synth.learn.fit.distributed import agreed, rank
from bids_synth.learn.fit.finite import is_finite
from bids_synth.learn.fit.member import Member
from bids_synth.learn.fit.preview import FILE, add_preview
from bids_synth.learn.fit.selection import LatestSelection
from bids_synth.learn.objectives.objective import Objective
from bids_synth.learn.objectives.schedule import schedule_of
from bids_synth.spatial.volume import write_text
from bids_synth.system.progress import progress
from bids_synth.system.signals import Preempted, released

LOG = logging.getLogger(__name__)
Row = dict[str, float | int | None]
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


class Record:
    """The curve of one member and its best averaged weights; what is shown of them.

    `data_wait_fraction` counts everything between two steps, the fetching of patches above all,
    against the time of the whole loop without validation. All processes of a fit have a record;
    that of the first alone has a judge, keeps weights and writes.
    """

    def __init__(self, member: Member, judge: Callable[[nn.Module], float] | None = None) -> None:
        self.member, self.judge = member, judge
        self.schedule = schedule_of(member.recipe)
        self.rows: list[Row] = []
        self.best: dict[str, torch.Tensor] = {}
        self.best_score = -float("inf")
        self.best_epoch = START
        self.losses: list[torch.Tensor] = []
        self.due: dict[str, float] | None = None
        """Of an epoch whose steps are taken and whose score is not known."""
        self._logger: Any = None
        self._bar: Any = None
        self._began = self._ended = self._waited = 0.0
        self._reading = True

    def state(self) -> dict[str, Any]:
        """All that a resumed fit needs to go on with the same curve."""
        return {
            "rows": self.rows,
            "best": self.best,
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "losses": [float(loss) for loss in self.losses],
            "due": self.due,
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take up the curve of an interrupted fit."""
        self.rows, self.best, self.due = state["rows"], state["best"], state["due"]
        self.best_score, self.best_epoch = state["best_score"], state["best_epoch"]
        self.losses = [torch.tensor(loss) for loss in state["losses"]]

    def summary(self) -> dict[str, Any]:
        """Of a fit that is over; no score where nobody validates."""
        score = self.best_score if isfinite(self.best_score) else None
        return {"score": score, "epoch": self.best_epoch, "rows": self.rows}

    @contextmanager
    def shown(self, done: int, *, quiet: bool) -> Iterator[None]:
        """Inside, figures go to TensorBoard and, unless `quiet`, one line to standard error."""
        events = self.member.events
        if rank() == 0:
            place = {"root_dir": events.parent, "name": "", "version": events.name}
            self._logger = TensorBoardLogger(**place, purge_step=done)
        what = f"fold {self.member.fold} member {self.member.number}"
        silent = quiet or rank() > 0
        self._bar = progress(self.schedule.steps, what, quiet=silent, done=done)
        try:
            with self._bar:
                yield
        finally:
            if self._logger is not None:
                self._logger.finalize("")

    def start_clocks(self) -> None:
        """The loop begins or goes on, also in mid-epoch."""
        self._waited = 0.0
        self._began = self._ended = time.perf_counter()

    def begin_step(self) -> None:
        """Count the time since the last step as waiting."""
        if self._reading:
            # The visits are read before the first step: the time left would be told in days.
            self._bar.unpause()
            self._reading = False
        self._waited += time.perf_counter() - self._ended

    def end_step(self, loss: torch.Tensor, steps_done: int) -> None:
        """Remember the loss, and show it now and then."""
        self.losses.append(loss)
        if steps_done % 25 == 0:
            self._log({"loss": float(loss)}, steps_done)
        if steps_done % 10 == 0:
            self._say(len(self.rows), float(loss))
        self._bar.update(1)
        self._ended = time.perf_counter()

    def end_epoch(self, epoch: int, rate: float) -> None:
        """The steps of an epoch are taken; its score is due."""
        spent = max(self._ended - self._began, 1e-9)
        self.due = {"epoch": epoch, "rate": rate, "waited": self._waited, "spent": spent}

    def close_epoch(self, objective: Objective) -> float:
        """The score of the epoch that is due; Preempted, and it stays due, where broken off."""
        due = self.due or {}
        if self.judge is None:
            self.losses, self.due = [], None
            return nan
        epoch = int(due["epoch"])
        score = self.weigh(objective.average, epoch)
        health = objective.health()  # Forgotten once told: only after a look that came to its end.
        row = self._row(objective.steps_done, score, due, health)
        self.rows, self.losses, self.due = [*self.rows, row], [], None
        self._show(row, health)
        best = f"best {self.best_score:.4g} of epoch {self.best_epoch + 1}"
        text = "%s: epoch %d of %d, step %d: loss %.4g, validation score %.4g, %s"
        place = (epoch + 1, self.schedule.epochs, objective.steps_done)
        LOG.debug(text, self.member, *place, float(row["loss"] or nan), score, best)
        write_text(rows_to_tsv(self.rows), self.member.place / "training.tsv")
        if look := getattr(self.judge, "look", None):
            add_preview(look, self.member.place / FILE, epoch, score)
        return score

    def weigh(self, average: nn.Module, epoch: int) -> float:
        """Validation score of weights, which are kept where none were better.

        Weights or a score that are NaN or infinite are never kept; where nobody validates, the
        latest weights are.
        """
        if self.judge is None:
            return nan
        try:
            with released():
                score = self.judge(average)
        except Preempted:
            agreed(answer=True)
            raise
        unjudged = isinstance(self.judge, LatestSelection)
        if not ((unjudged or isfinite(score)) and is_finite(average.state_dict())):
            message = (
                "fold %d member %d: weights of epoch %d are not kept, their validation score is %s"
            )
            LOG.warning(message, self.member.fold, self.member.number, epoch, score)
        elif unjudged or score > self.best_score:
            self.best_score, self.best_epoch = score, epoch
            self.best = {
                k: v.detach().cpu().clone(memory_format=torch.contiguous_format)
                for k, v in average.state_dict().items()
            }
        return score

    def _row(
        self, step: int, score: float, due: Mapping[str, float], health: Mapping[str, float]
    ) -> Row:
        return {
            "fold": self.member.fold,
            "member": self.member.number,
            "epoch": int(due["epoch"]),
            "step": step,
            "loss": float(torch.stack([loss.cpu() for loss in self.losses]).mean()),
            "validation_score": score,
            "learning_rate": float(due["rate"]),
            "discriminator_loss": health.get("discriminator_loss", nan),
            "discriminator_accuracy": health.get("discriminator_accuracy", nan),
            "data_wait_fraction": due["waited"] / due["spent"],
            "seconds": due["spent"],
        }

    def _show(self, row: Row, health: Mapping[str, float]) -> None:
        figures = {c: float(row[c] or 0.0) for c in COLUMNS[4:]} | dict(health)
        logged = {f"epoch/{name}": v for name, v in figures.items() if isfinite(v)}
        self._log(logged, int(row["step"] or 0))
        self._say(int(row["epoch"] or 0), figures["loss"])

    def _log(self, figures: Mapping[str, float], step: int) -> None:
        if self._logger is not None:
            self._logger.log_metrics(figures, step)

    def _say(self, epoch: int, loss: float) -> None:
        best = f"{self.best_score:.3f}" if isfinite(self.best_score) else "n/a"
        text = f"epoch {epoch + 1}/{self.schedule.epochs}, loss {loss:.4f}, best score {best}"
        self._bar.set_postfix_str(text, refresh=False)


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
