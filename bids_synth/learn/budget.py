"""Budget: how many steps a fit can take in so many minutes on this machine."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from bids_synth.core.split import Split
from bids_synth.core.visit import Prepared
from bids_synth.errors import UsageError
from bids_synth.learn.device import resolve_device
from bids_synth.learn.fit.fit import FoldInputs, Places, fit_key, fitting_visits, inputs_of
from bids_synth.learn.fit.loop import Job, batches_of, calm, fabric_on, objective_of, take_step
from bids_synth.learn.fit.member import Member
from bids_synth.learn.fit.selection import Score
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import json_text, write_text
from bids_synth.system.locks import exclusive

LOG = logging.getLogger(__name__)
LOOKS = 8
"""Looks at the validation participants in such a fit, beside the one at its start."""
TRIAL_SECONDS = 20.0
"""Time of steps after which their mean is believed; a tenth of the minutes where that is less."""
WARM, FEWEST = 3, 6
"""Steps that are not counted, since the first also read the visits, and least that are."""


def recipe_within(
    recipe: Recipe,
    prepared: Sequence[Prepared],
    split: Split,
    score: Score,
    *,
    minutes: float,
    name: str,
    work: Path,
    seed: int,
    device: str = "auto",
    fold: int | None = None,
    init_from: Path | None = None,
    resume: bool = True,
) -> Recipe:
    """The recipe with as many steps as its networks can take in `minutes` on this machine.

    The time of a step and of a look at the validation participants is measured in a trial, of
    which nothing is kept; all networks of all folds (or of `fold`) share the minutes, and each
    ends its schedule. The choice is kept in the work directory and taken up again where
    `resume`, so that a fit that was stopped goes on. UsageError where the minutes are too few.
    """
    visits = fitting_visits(prepared, split)
    key = fit_key(recipe, visits, split, seed=seed, init_from=init_from)
    label = f"minutes-{hashlib.sha256(f'{key}:{minutes:g}'.encode()).hexdigest()}"
    chosen = work / "fit" / label
    # Folds that are fitted side by side by other jobs are folds of one recipe: one job measures.
    with exclusive({label}, work / "turns", does="measures"):
        if resume and chosen.is_file():
            return _with_steps(recipe, chosen)
        folds = len(split.folds) if fold is None else 1
        member = Places(Path(f"{name}-trial"), work).member(recipe, key, seed, fold or 0, 0)
        try:
            own = inputs_of(member, visits, split, score, resolve_device(device), init_from)
            spent = trial(member, own, seconds=min(TRIAL_SECONDS, 6 * minutes))
        finally:
            shutil.rmtree(member.place.parent, ignore_errors=True)
        steps = steps_within(60 * minutes, recipe.fit.members * folds, *spent)
        text = "a step takes %.3f s and a look %.1f s: %d networks of %d steps in %g minutes"
        LOG.info(text, *spent, recipe.fit.members * folds, steps, minutes)
        write_text(json_text({"steps": steps}, indent=None), chosen)
        return _with_steps(recipe, chosen)


def _with_steps(recipe: Recipe, chosen: Path) -> Recipe:
    steps = int(json.loads(chosen.read_text("utf-8"))["steps"])
    return recipe.with_values({"fit.steps": steps, "fit.steps_per_epoch": -(-steps // LOOKS)})


def steps_within(seconds: float, networks: int, step: float, look: float) -> int:
    """Steps of each network, so that all of them with their looks take so many seconds.

    UsageError where that is less than one for each look.

    >>> steps_within(600, 2, step=0.1, look=1.0)
    2910
    """
    steps = int((seconds / networks - (LOOKS + 1) * look) / step)
    if steps < LOOKS:
        least = networks * (LOOKS * step + (LOOKS + 1) * look) / 60
        message = (
            f"--fit-minutes {seconds / 60:g}: too few for {networks} network(s) here; give at "
            f"least {least:.1f}, or fewer networks (--set fit.members=1)"
        )
        raise UsageError(message)
    return steps


def trial(
    member: Member, own: FoldInputs, *, seconds: float, warm: int = WARM, fewest: int = FEWEST
) -> tuple[float, float]:
    """Seconds of a step, the reading of its patches included, and of a look.

    Steps are taken for so many `seconds`, and at least the `fewest` after the `warm` ones.
    """
    device = own.selection.device
    with calm(device):
        job = Job(member, own.training, own.initial(member)(), own.features)
        fabric = fabric_on(device)
        objective = fabric.to_device(objective_of(job, member.recipe.fit.steps))
        optimizers, times = objective.optimizers(), []
        ended = time.perf_counter()
        for batch in batches_of(job, member.recipe.fit.steps, 0, device):
            take_step(fabric, objective, optimizers, fabric.to_device(batch))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - ended)
            counted = times[warm:]
            if len(counted) >= fewest and sum(counted) > seconds:
                break
            ended = time.perf_counter()
        began = time.perf_counter()
        own.selection(objective.average)
        look = time.perf_counter() - began
    counted = times[warm:] or times
    return sum(counted) / len(counted), look
