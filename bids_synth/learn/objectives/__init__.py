"""Objectives by the name that recipes use; a new one is one more file and one more line."""

from __future__ import annotations

from collections.abc import Callable

from lightning.pytorch import LightningModule

from bids_synth.learn.objectives.regression import Regression

OBJECTIVES: dict[str, Callable[..., LightningModule]] = {"regression": Regression}
"""Name -> class, called with recipe, network and the number of steps."""
