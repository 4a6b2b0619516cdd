"""Objectives by the name that recipes use; a new one is one more file and one more line."""

from __future__ import annotations

from collections.abc import Callable

from bids_synth.learn.objectives.any_missing_gan import AnyMissingGan
from bids_synth.learn.objectives.conditional_gan import ConditionalGan
from bids_synth.learn.objectives.cycle_gan import CycleGan
from bids_synth.learn.objectives.objective import Objective
from bids_synth.learn.objectives.regression import Regression

OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "regression": Regression,
    "conditional-gan": ConditionalGan,
    "any-missing-gan": AnyMissingGan,
    "cycle-gan": CycleGan,
}
"""Name -> class, called with recipe, network and the number of steps."""
