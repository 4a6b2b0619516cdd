"""Steps: what a step of each recipe takes as it is fitted, beside the limits of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from benchmarks.gpu.apart import Tell
from benchmarks.gpu.figure import Figure, Settings, share_of_limit
from benchmarks.gpu.machine import fitting_rate, forget_peak, peak_gb, seconds_of, wait_for
from benchmarks.gpu.phantoms import brains, store
from benchmarks.operations import counting
from bids_synth.learn.data.array_cache import Stored
from bids_synth.learn.device import resolve_device
from bids_synth.learn.features.loss import asked_features
from bids_synth.learn.features.segmenter import Segmenter
from bids_synth.learn.fit.loop import (
    Job,
    batches_of,
    calm,
    fabric_on,
    fit_member,
    objective_of,
    take_step,
)
from bids_synth.learn.fit.member import Member
from bids_synth.learn.fit.selection import LatestSelection
from bids_synth.learn.networks import build_network
from bids_synth.learn.objectives.objective import Objective
from bids_synth.recipe.recipe import Recipe, load_recipe
from bids_synth.recipe.sections.network import PLANAR, POINTWISE

SHARE, WAITING = 0.4, 0.05
"""Targets: of the convolutions' limit at 96 voxels, and most of the time spent on data."""
WIDE = (96, 96, 96)
SEED = 1
TINY: Mapping[str, Mapping[str, object]] = {
    "impute": {
        "fit.patch": [32, 32, 32],
        "network.width": 16,
        "network.voxels": 64,
        "network.sample": 4000,
    },
    "mmgan": {"fit.patch": [64, 64, 1]},
    "pix2pix-ct": {"network.downs": 4},
    "cyclegan": {"network.blocks": 1},
    # Of maps of 2 voxels a side, torch 2.13 gives gradients in bfloat16 that are no numbers on a
    # processor.
    "mri2pet": {"network.levels": 3},
}
"""Recipe -> what is smaller in a rehearsal beside filters, patch and batch."""
Change = Callable[[Objective], None]


def recipe_of(name: str, settings: Settings) -> Recipe:
    """A recipe as it is, or small for a rehearsal."""
    recipe = load_recipe(name)
    if not settings.tiny:
        return recipe
    patch = [32, 32, 1] if recipe.dimension == "2D" else [16, 16, 16]
    values: dict[str, object] = {"fit.patch": patch, "fit.batch": 1}
    if recipe.network.name not in POINTWISE:
        values["network.filters"] = 8
    if hasattr(recipe.objective, "discriminator"):
        values |= {"objective.discriminator.filters": 8, "objective.discriminator.layers": 1}
    return recipe.with_values(values | {**TINY.get(name, {})})


def step(name: str, settings: Settings, tell: Tell) -> None:
    """A recipe as it is fitted: its own patch, and 96 voxels where it has volumes."""
    recipe = recipe_of(name, settings)
    _measure(recipe, name, settings, tell)
    solid = recipe.dimension == "3D" and recipe.network.name not in POINTWISE
    if solid and recipe.fit.patch != WIDE and not settings.tiny:
        wide = recipe.with_values({"fit.patch": WIDE})
        _measure(wide, f"{name} at 96", settings, tell)


def _measure(recipe: Recipe, title: str, settings: Settings, tell: Tell) -> None:
    device, work = resolve_device(settings.device), Path(settings.work)
    visits = store(recipe, brains(settings), work)
    share = SHARE if recipe.fit.patch == WIDE else None
    rate = fitting_rate(device, settings)
    operations, alone = counted(recipe, visits, device)
    forget_peak(device)
    seconds, waiting = as_fitted(recipe, visits, device, settings)
    note = f"patch {'x'.join(map(str, recipe.fit.patch))}, batch {recipe.fit.batch}"
    tell(Figure(f"{title}: a step", seconds, "s", note=note))
    part = share_of_limit(operations, seconds, rate)
    note = f"{operations / 1e9:.3g} GFLOP at {rate / 1e12:.3g} TFLOP/s"
    tell(Figure(f"{title}: share of the limit", part, least=share, card_only=True, note=note))
    note = "the same convolutions one by one, forward and back, over the step"
    tell(Figure(f"{title}: convolutions alone", alone / seconds, note=note))
    tell(Figure(f"{title}: waiting for data", waiting, most=WAITING, card_only=True))
    tell(Figure(f"{title}: peak memory", peak_gb(device), "GB"))


def as_fitted(
    recipe: Recipe, visits: list[Stored], device: torch.device, settings: Settings
) -> tuple[float, float]:
    """Seconds of a step, and the share that waits for data, over the second of two epochs."""
    steps = 1 if settings.tiny else 40 if recipe.dimension == "2D" else 12
    short = recipe.with_values({"fit.steps": 2 * steps, "fit.steps_per_epoch": steps})
    place = Path(settings.work) / "steps" / f"{recipe.name}-{time.time_ns()}"
    member = Member(short, 0, 0, SEED, "step", place)
    unjudged = LatestSelection(device)
    features = features_beside(recipe)
    fit_member(
        member, visits, unjudged, lambda: first_network(short), quiet=True, features=features
    )
    row = (member.fitted() or {})["rows"][-1]
    return float(row["seconds"]) / steps, float(row["data_wait_fraction"])


def counted(recipe: Recipe, visits: list[Stored], device: torch.device) -> tuple[float, float]:
    """Operations of a step of all players, and seconds of its convolutions one by one."""
    with calm(device):
        take, objective = steps_on(recipe, visits, device)
        shapes: list[tuple[nn.Module, torch.Size]] = []
        hooks = [
            module.register_forward_hook(
                lambda one, given, _: shapes.append((one, given[0].shape))
            )
            for module in objective.modules()
            if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d)
        ]
        with counting() as counter:
            take()
        for hook in hooks:
            hook.remove()
        alone = sum(_alone(one, shape, device) for one, shape in shapes)
    return float(counter.get_total_flops()), alone


def _alone(module: nn.Module, shape: torch.Size, device: torch.device) -> float:
    """Seconds of one convolution, forward and back, in the precision of fits."""
    layout = torch.channels_last_3d if len(shape) == 5 else torch.contiguous_format
    maps = torch.randn(shape, device=device).to(memory_format=layout).requires_grad_()
    learning = [p for p in module.parameters() if p.requires_grad]

    def both() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            made = module(maps)
        torch.autograd.grad(made, [maps, *learning], torch.ones_like(made))

    return seconds_of(both, device, repeats=3)


def variants(settings: Settings, tell: Tell) -> None:
    """A step of `ct` at 96 voxels as it is and otherwise: what would pay on this card."""
    device = resolve_device(settings.device)
    recipe = recipe_of("ct", settings)
    if not settings.tiny:
        recipe = recipe.with_values({"fit.patch": WIDE})
    visits = store(recipe, brains(settings), Path(settings.work))
    usual = 0.0
    changes = CHANGES if not settings.tiny else dict(list(CHANGES.items())[:3])
    for name, change in changes.items():
        with calm(device):
            take, _ = steps_on(recipe, visits, device, change)
            for _ in range(1 if settings.tiny else 5):
                take()
            seconds = seconds_of(take, device, repeats=1 if settings.tiny else 20)
        usual = usual or seconds
        tell(Figure(f"ct: {name}", seconds, "s", note=f"{seconds / usual:.2f} of as fitted"))


def _free(_: Objective) -> None:
    torch.use_deterministic_algorithms(mode=False)
    torch.backends.cudnn.deterministic = False
    torch.backends.cudnn.benchmark = True


def _plain(objective: Objective) -> None:
    objective.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def _free_and_compiled(objective: Objective) -> None:
    _free(objective)
    objective.network = torch.compile(objective.network)  # type: ignore[assignment]


def _free_and_plain(objective: Objective) -> None:
    _free(objective)
    _plain(objective)


CHANGES: dict[str, Change] = {
    "as fitted": lambda _: None,
    "cuDNN free to choose": _free,
    "channels first": _plain,
    "channels first, cuDNN free": _free_and_plain,
    "compiled, cuDNN free": _free_and_compiled,
}
"""Title -> what is changed of an objective on its device and of torch's switches."""


def steps_on(
    recipe: Recipe, visits: list[Stored], device: torch.device, change: Change | None = None
) -> tuple[Callable[[], object], Objective]:
    """Steps of the loop itself on one batch that lies on the device already."""
    member = Member(recipe, 0, 0, SEED, "step", Path())
    job = Job(member, visits, first_network(recipe), features_beside(recipe))
    fabric = fabric_on(device)
    objective = fabric.to_device(objective_of(job, recipe.fit.steps))
    if change is not None:
        change(objective)
    optimizers = objective.optimizers()
    batch = fabric.to_device(next(iter(batches_of(job, recipe.fit.steps, 0))))
    wait_for(device)
    return lambda: take_step(fabric, objective, optimizers, batch), objective


def first_network(recipe: Recipe) -> nn.Module:
    torch.manual_seed(SEED)
    return build_network(recipe)


def features_beside(recipe: Recipe) -> nn.Module | None:
    """A segmenter as it begins: it takes as long as a fitted one."""
    if asked_features(recipe) is None:
        return None
    torch.manual_seed(SEED)
    planar = recipe.network.name in PLANAR
    return Segmenter(planar=planar).requires_grad_(requires_grad=False).eval()
