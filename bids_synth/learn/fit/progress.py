"""Progress: one line that says epoch, loss, best score and the time left."""

from __future__ import annotations

import sys
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm  # type: ignore[import-untyped]

from bids_synth.learn.fit.record import Record
from bids_synth.learn.objectives.schedule import Schedule

FORMAT = "{desc} |{bar:20}| {percentage:3.0f}% {postfix} [{elapsed}, {remaining} left]"


class Progress(Callback):  # type: ignore[misc]
    """A bar over all steps of one member, on standard error."""

    def __init__(self, record: Record, schedule: Schedule, title: str) -> None:
        self.record, self.schedule, self.title = record, schedule, title
        self._bar: Any = None

    def on_train_start(self, _: Trainer, module: Any) -> None:
        """Open the bar where the fit begins or goes on."""
        calm = not sys.stderr.isatty()
        self._bar = tqdm(
            total=self.schedule.steps,
            initial=module.steps_done,
            desc=self.title,
            bar_format=FORMAT,
            file=sys.stderr,
            mininterval=30.0 if calm else 0.5,
            maxinterval=60.0,
            ascii=" #" if calm else None,
        )

    def on_train_batch_end(self, loop: Trainer, module: Any, *_: Any) -> None:
        """Move the bar."""
        if module.steps_done % 10 == 0 or module.steps_done == self.schedule.steps:
            self._say(loop)
        self._bar.update(1)

    def on_train_end(self, loop: Trainer, _: LightningModule) -> None:
        """Close the bar with the last figures."""
        self._say(loop)
        self._bar.close()

    def _say(self, loop: Trainer) -> None:
        record = self.record
        loss = float("nan") if record.loss is None else float(record.loss)
        best = f"{record.best_score:.3f}" if record.best else "n/a"
        epoch = min(loop.current_epoch + 1, self.schedule.epochs)
        said = f"epoch {epoch}/{self.schedule.epochs}, loss {loss:.4f}, best score {best}"
        self._bar.set_postfix_str(said, refresh=False)
