"""Fitting: a step of every modern recipe as it is fitted."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.stages.measured import FULL, SEED, Measured

if TYPE_CHECKING:
    from bids_synth.learn.data.array_cache import Stored
    from bids_synth.learn.fit.loop import Job
    from bids_synth.recipe.recipe import Recipe

MODERN = ("impute", "ct", "pet", "cmro2", "cyclegan-structure")
MOST_RATIO = 1.6
MOST_WAITING = 0.05
WARM, TIMED, LEAST = 4, 8, 3.0
"""Steps that are not timed, steps and seconds that are at least."""


def fitting(work: Path) -> list[Measured]:
    """One step of every modern recipe, with its own sizes, reading of patches and average."""
    return [step_of(name, work) for name in MODERN]


def step_of(name: str, work: Path) -> Measured:
    """One step of a recipe of the package beside its arithmetic; the note tells the waiting."""
    import torch

    from benchmarks.operations import counting
    from bids_synth.learn.fit.loop import batches_of, calm, fabric_on, objective_of, take_step
    from bids_synth.recipe.recipe import load_recipe

    torch.manual_seed(SEED)
    recipe, device, steps = load_recipe(name), torch.device("cpu"), 10_000
    waits, times = [0.0], [0.0]
    with calm(device):
        job, fabric = job_of(recipe, work), fabric_on(device)
        objective = objective_of(job, steps)
        optimizers, batches = objective.optimizers(), batches_of(job, steps, 0)
        with counting() as counter:
            take_step(fabric, objective, optimizers, next(batches))
        for batch in islice(batches, WARM):
            take_step(fabric, objective, optimizers, batch)
        while len(times) <= TIMED or sum(times) < LEAST:
            began = time.perf_counter()
            batch = next(batches)
            waits.append(time.perf_counter() - began)
            take_step(fabric, objective, optimizers, batch)
            times.append(time.perf_counter() - began)
        batches.close()
    share = sum(waits) / sum(times)
    note = f"{100 * share:.1f} % of it waits for data (at most {100 * MOST_WAITING:.0f} %)"
    return Measured(
        f"fit: one step of `{name}` as fitted",
        median(times[1:]),
        operations=counter.get_total_flops(),
        note=note,
        most_ratio=MOST_RATIO,
    )


def job_of(recipe: Recipe, work: Path) -> Job:
    """What a fit of a recipe to one brain begins with."""
    from bids_synth.learn.features.loss import asked_features
    from bids_synth.learn.features.segmenter import Segmenter
    from bids_synth.learn.fit.loop import Job
    from bids_synth.learn.fit.member import Member
    from bids_synth.learn.networks import build_network

    member = Member(recipe, 0, 0, SEED, "benchmark", work / "member")
    features = Segmenter(planar=False) if asked_features(recipe) else None
    return Job(member, [stored_brain(recipe, work)], build_network(recipe), features)


def stored_brain(recipe: Recipe, work: Path) -> Stored:
    """The template's brain as every image and map of a recipe, on a grid of about its spacing."""
    from bids_synth.learn.data.array_cache import reopen, save_array
    from bids_synth.spatial.template import template_mask, template_t1w

    part = tuple(slice(None, length, round(recipe.grid.spacing or 1)) for length in FULL)
    brain, mask = (volume.array[part] for volume in (template_t1w(), template_mask()))
    place, maps = work / f"stored-{recipe.name}", work / f"maps-{recipe.name}"
    place.mkdir(parents=True, exist_ok=True)
    maps.mkdir(exist_ok=True)
    scaled = (brain / 255 * mask).astype(np.float16)
    for modality in recipe.modalities:
        save_array(place / f"image-{modality}.npy", scaled)
    save_array(place / "mask.npy", (mask > 0).astype(np.uint8))
    save_array(place / "centres.npy", np.flatnonzero(mask).astype(np.uint32))
    extras = recipe.inputs[len(recipe.sources) :]
    for name in extras:
        save_array(maps / f"{name}.npy", scaled)
    save_array(maps / "shape.npy", np.asarray(mask.shape))
    return reopen("sub-01", "01", list(recipe.modalities), [place, maps] if extras else [place])
