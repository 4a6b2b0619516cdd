"""Fitting: a step alone and a step as it is fitted."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.stages.measured import FULL, SEED, Measured, clock


def fitting(_: Path) -> list[Measured]:
    """One training step of a 3D U-Net by a plain PyTorch loop."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from bids_synth.learn.networks import build_network
    from bids_synth.learn.objectives.paired import paired_loss
    from bids_synth.recipe.recipe import load_recipe

    torch.manual_seed(SEED)
    recipe = load_recipe("ct")
    network = build_network(recipe).to(memory_format=torch.channels_last_3d)
    patch = recipe.fit.patch
    batch = {
        "sources": torch.rand(1, len(recipe.inputs), *patch),
        "available": torch.ones(1, len(recipe.inputs)),
        "real": torch.rand(1, len(recipe.targets), *patch),
        "scored": torch.ones(1, len(recipe.targets), dtype=torch.bool),
        "mask": torch.ones(1, 1, *patch),
    }
    optimizer = torch.optim.AdamW(network.parameters())

    def step() -> None:
        optimizer.zero_grad()
        made = network(batch["sources"], batch["available"])
        paired_loss(made, batch, recipe.objective).backward()
        optimizer.step()

    with FlopCounterMode(display=False) as counter:
        step()
    result = Measured(
        "fit: one step of `ct`, plain loop", 0.0, operations=counter.get_total_flops()
    )
    repeats = 5
    with clock(result):
        for _ in range(repeats):
            step()
    result.seconds /= repeats
    return [result]


def waiting(work: Path) -> list[Measured]:
    """Steps of the default recipe as they are fitted: how long they wait for data."""
    import torch

    from benchmarks.toys import whole_brain
    from bids_synth.learn.data.array_cache import open_store
    from bids_synth.learn.fit.loop import fit_member
    from bids_synth.learn.fit.member import Member
    from bids_synth.learn.fit.selection import LatestSelection
    from bids_synth.learn.networks import build_network
    from bids_synth.recipe.recipe import load_recipe

    steps = 12
    schedule = {"fit.steps": str(2 * steps), "fit.steps_per_epoch": str(steps)}
    recipe = load_recipe("impute", schedule).limited_to(["T1w", "PDw"])
    stored = open_store([whole_brain(work / "brain", FULL)], tuple(recipe.modalities), work)
    place = work / f"member-{time.time_ns()}"
    member = Member(recipe, 0, 0, SEED, "benchmark", place)
    unjudged = LatestSelection(torch.device("cpu"))
    fit_member(member, stored, unjudged, lambda: build_network(recipe), quiet=True)
    row = (member.fitted() or {})["rows"][-1]
    seconds, share = row["seconds"] / steps, row["data_wait_fraction"]
    note = f"{100 * share:.1f} % of the time between two steps: data above all"
    return [Measured("fit: one step as fitted", seconds, note=note)]
