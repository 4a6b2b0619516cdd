"""Every objective as it is fitted, against a plain PyTorch loop on the same network and batch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from benchmarks.stages.measured import SEED, Measured
from bids_synth.learn.fit.loop import calm, fabric_on, take_step
from bids_synth.learn.networks import build_network, laid_out
from bids_synth.learn.networks.discriminator import PatchDiscriminator
from bids_synth.learn.objectives import OBJECTIVES
from bids_synth.recipe.recipe import Recipe, load_recipe, validate_recipe

Step = Callable[[], None]
REPEATS, STEPS = 3, 4
"""Both loops take turns; the first step of each turn is not timed, the fastest other counts."""
PUBLISHED = 2.3
"""Slices of 192 x 192 a second that the published MM-GAN code fits on the reference machine."""
JUDGE_3D = {"filters": 16, "layers": 2}
CASES: dict[str, dict[str, Any]] = {
    "regression": {"network": {"name": "residual-unet"}, "patch": [48, 48, 48]},
    "conditional-gan": {
        "network": {"name": "residual-unet"},
        "objective": {"discriminator": JUDGE_3D},
        "patch": [48, 48, 48],
    },
    "any-missing-gan": {
        "network": {"name": "unet-2d", "depth": 6, "filters": 64},
        "objective": {
            "l1": 0.9,
            "adversarial": 0.1,
            "discriminator": {"filters": 64, "layers": 4, "tail": 1},
        },
        "patch": [192, 192, 1],
        "batch": 8,
    },
    "cycle-gan": {
        "modalities": ["T1w", "T2w"],
        "network": {"name": "resnet-2d", "filters": 32, "blocks": 6},
        "objective": {"discriminator": {"filters": 32}},
        "patch": [128, 128, 1],
    },
}


def recipe_of(name: str) -> Recipe:
    """The default recipe with this objective, of about the published size."""
    case = CASES[name]
    data = load_recipe("impute").model_dump(mode="json")
    kept = case.get("modalities", ["T1w", "T2w", "PDw"])
    data["modalities"] = {m: r for m, r in data["modalities"].items() if m in kept}
    data["network"] = case["network"]
    data["objective"] = {"name": name} | case.get("objective", {})
    if name == "regression":
        data["objective"]["ssim"] = 0
    data["fit"] |= {"patch": case["patch"], "batch": case.get("batch", 1), "steps": STEPS}
    return validate_recipe(data, origin=name)


def item_of(recipe: Recipe) -> dict[str, torch.Tensor]:
    """One random patch: the first modality is to be made from the others."""
    torch.manual_seed(SEED)
    count, patch = len(recipe.modalities), recipe.fit.patch
    images = torch.rand(count, *patch)
    if recipe.unpaired:
        return {"sources": images, "mask": torch.ones(count, *patch)}
    first = torch.arange(count) == 0
    return {
        "sources": images * ~first[:, None, None, None],
        "available": (~first).float(),
        "real": images * first[:, None, None, None],
        "scored": first,
        "mask": torch.ones(1, *patch),
    }


def fitted(recipe: Recipe) -> float:
    """Seconds of a step as members are fitted: averaging, clipping, rates and all."""
    items = [item_of(recipe)] * (STEPS * recipe.fit.batch)
    device, ends = torch.device("cpu"), []
    with calm(device):
        fabric, kind = fabric_on(device), OBJECTIVES[recipe.objective.name]
        objective = kind(recipe, build_network(recipe), steps=STEPS, seed=SEED)
        optimizers = objective.optimizers()
        for batch in DataLoader(items, recipe.fit.batch):  # type: ignore[arg-type]
            take_step(fabric, objective, optimizers, batch)
            ends.append(time.perf_counter())
    return min(b - a for a, b in pairwise(ends))


def plain(recipe: Recipe) -> float:
    """Seconds of a step of the loop that one would write by hand."""
    step = PLAIN[recipe.objective.name](recipe)
    ends = []
    for _ in range(STEPS):
        step()
        ends.append(time.perf_counter())
    return min(b - a for a, b in pairwise(ends))


def _batch(recipe: Recipe) -> dict[str, torch.Tensor]:
    return {k: torch.stack([v] * recipe.fit.batch) for k, v in item_of(recipe).items()}


def _judge(recipe: Recipe, maps: int, outputs: int = 1, *, keep: bool = False) -> nn.Module:
    part = recipe.objective.discriminator  # type: ignore[union-attr]
    dims = 2 if recipe.dimension == "2D" else 3
    network = PatchDiscriminator(
        maps=maps, outputs=outputs, spatial_dims=dims, layers=part.layers, tail=part.tail,
        filters=part.filters, keep=keep,
    )  # fmt: skip
    return laid_out(network, recipe)


def _descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _plain_regression(recipe: Recipe) -> Step:
    batch, network = _batch(recipe), laid_out(build_network(recipe), recipe)
    optimizer = torch.optim.AdamW(network.parameters())
    weights = recipe.objective

    def step() -> None:
        made = network(batch["sources"], batch["available"])[:, :1]
        real = batch["real"][:, :1]
        loss = weights.l1 * functional.l1_loss(made, real)  # type: ignore[union-attr]
        _descend(optimizer, loss + weights.l2 * functional.mse_loss(made, real))  # type: ignore[union-attr]

    return step


def _plain_gan(recipe: Recipe) -> Step:
    """Both objectives for paired images, the any-missing one with its longer condition."""
    batch, weights = _batch(recipe), recipe.objective
    knows = weights.name == "any-missing-gan"
    sources, real = batch["sources"], batch["real"]
    condition, count = sources, len(recipe.targets)
    if knows:
        there = batch["available"][:, :, None, None, None].expand_as(sources)
        condition = torch.cat([sources, there], dim=1)
    network = laid_out(build_network(recipe), recipe)
    judge = _judge(recipe, condition.shape[1] + count, count if knows else 1, keep=knows)
    optimizers = [torch.optim.AdamW(n.parameters()) for n in (network, judge)]

    def candidate(image: torch.Tensor) -> torch.Tensor:
        rest = sources[:, 1:] if knows else torch.zeros_like(sources[:, 1:])
        return torch.cat([condition, image, rest], dim=1)

    def step() -> None:
        made = network(sources, batch["available"])[:, :1]
        judge.requires_grad_(requires_grad=False)
        logits = judge(candidate(made))
        loss = weights.l1 * functional.l1_loss(made, real[:, :1])  # type: ignore[union-attr]
        loss = loss + weights.adversarial * ((logits - 1) ** 2).mean()  # type: ignore[union-attr]
        _descend(optimizers[0], loss)
        judge.requires_grad_(requires_grad=True)
        right, wrong = judge(candidate(real[:, :1])), judge(candidate(made.detach()))
        _descend(optimizers[1], (((right - 1) ** 2).mean() + (wrong**2).mean()) / 2)

    return step


def _plain_cycle(recipe: Recipe) -> Step:
    a, b = _batch(recipe)["sources"].split(1, dim=1)
    network = laid_out(build_network(recipe), recipe)
    there, back = (lambda x, n=n: network.translate(n, x) for n in (0, 1))  # type: ignore[operator]
    judges = nn.ModuleList(_judge(recipe, 1) for _ in range(2))
    optimizers = [torch.optim.AdamW(n.parameters()) for n in (network, judges)]
    weights: Any = recipe.objective

    def step() -> None:
        made_a, made_b = back(b), there(a)
        judges.requires_grad_(requires_grad=False)
        loss = ((judges[0](made_a) - 1) ** 2).mean() + ((judges[1](made_b) - 1) ** 2).mean()
        cycle = functional.l1_loss(back(made_b), a) + functional.l1_loss(there(made_a), b)
        same = functional.l1_loss(back(a), a) + functional.l1_loss(there(b), b)
        _descend(optimizers[0], loss + weights.cycle * cycle + weights.identity * same)
        judges.requires_grad_(requires_grad=True)
        loss = ((judges[0](a) - 1) ** 2).mean() + (judges[0](made_a.detach()) ** 2).mean()
        loss = loss + ((judges[1](b) - 1) ** 2).mean() + (judges[1](made_b.detach()) ** 2).mean()
        _descend(optimizers[1], loss / 2)

    return step


PLAIN: dict[str, Callable[[Recipe], Step]] = {
    "regression": _plain_regression,
    "conditional-gan": _plain_gan,
    "any-missing-gan": _plain_gan,
    "cycle-gan": _plain_cycle,
}


def objectives(_: Path) -> list[Measured]:
    """Two rows for each objective: as it is fitted, with the ratio, and the plain loop."""
    results = []
    for name in CASES:
        recipe = recipe_of(name)
        turns = [(fitted(recipe), plain(recipe)) for _ in range(REPEATS)]
        ours, theirs = (min(times) for times in zip(*turns, strict=True))
        note = f"{ours / theirs:.3f} x the plain loop"
        if name == "any-missing-gan":
            rate = recipe.fit.batch / ours
            note += f"; {rate:.2f} slices/s (published {PUBLISHED})"
        note += f"; load {os.getloadavg()[0]:.1f}"
        results.append(Measured(f"objective: {name}, as fitted", ours, note=note))
        results.append(Measured(f"objective: {name}, plain loop", theirs))
    return results


if __name__ == "__main__":
    for row in objectives(Path()):
        print(f"{row.stage:45} {row.seconds:8.3f} s  {row.note}", flush=True)
