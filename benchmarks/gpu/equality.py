"""Equality: the same network on the card and on the processor makes the same image."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchmarks.gpu.apart import Tell
from benchmarks.gpu.figure import Figure, Settings
from benchmarks.gpu.phantoms import small_brains
from benchmarks.gpu.steps import recipe_of
from benchmarks.toys import untrained_synthesizer
from bids_synth.core.visit import Prepared
from bids_synth.learn.data.auxiliary_inputs import auxiliary_inputs_of
from bids_synth.learn.device import resolve_device
from bids_synth.learn.synthesize import Synthesizer
from bids_synth.recipe.recipe import Recipe, load_recipe, recipe_names

FLOAT32, BFLOAT16 = 1e-3, 1e-2
"""Largest difference from the processor's float32, in shares of the image's range."""
Image = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


def equality(settings: Settings, tell: Tell) -> None:
    """Every kind of network, with random weights, on one visit."""
    device = resolve_device(settings.device)
    prepared = small_brains(settings)[0]
    for recipe in one_of_each_kind(settings):
        shown = synthesizer_of(recipe, prepared)
        name = f"{recipe.network.name}{' without pairs' if recipe.unpaired else ''}"
        compare(name, shown, prepared, recipe.targets[0], device, tell)


def one_of_each_kind(settings: Settings) -> list[Recipe]:
    """The first recipe with each network, and the first without pairs."""
    kinds: dict[tuple[str, bool], Recipe] = {}
    for name in recipe_names():
        recipe = load_recipe(name)
        kinds.setdefault((recipe.network.name, recipe.unpaired), recipe_of(name, settings))
    return list(kinds.values())


def synthesizer_of(recipe: Recipe, prepared: Prepared) -> Synthesizer:
    """One network with random weights on the processor, none of them 0."""
    one = untrained_synthesizer(recipe.with_values({"fit.members": 1}))
    for network in one.networks:
        stir(network)
    return replace(one, extras=auxiliary_inputs_of(recipe, [prepared]))


@torch.no_grad()
def stir(network: nn.Module) -> None:
    """Random numbers in place of weights that begin with 0, and hide all that comes before."""
    torch.manual_seed(2)
    for parameter in network.parameters():
        if not parameter.any():
            parameter.normal_(0, 0.05)


def compare(
    name: str,
    shown: Synthesizer,
    prepared: Prepared,
    target: str,
    device: torch.device,
    tell: Tell,
) -> None:
    """Tell how far the card is from the processor, in float32 and in bfloat16."""
    inside = prepared.mask_image.array > 0
    expected = shown.synthesize(prepared, target).image.array
    there = moved(shown, device)
    made = there.synthesize(prepared, target).image.array
    tell(_distance(f"{name}, float32", made, expected, inside, FLOAT32))
    with torch.autocast(device.type, torch.bfloat16):
        made = moved(shown, device).synthesize(prepared, target).image.array
    tell(_distance(f"{name}, bfloat16", made, expected, inside, BFLOAT16))


def moved(shown: Synthesizer, device: torch.device) -> Synthesizer:
    """The same on another device, with nothing remembered."""
    networks = tuple(copy.deepcopy(network).to(device) for network in shown.networks)
    return replace(shown, networks=networks, device=device, last={})


def _distance(name: str, made: Image, expected: Image, inside: Mask, most: float) -> Figure:
    errors = np.abs(made - expected)[inside] / max(float(np.ptp(expected[inside])), 1e-12)
    note = f"root mean square {float(np.sqrt((errors**2).mean())):.1e}"
    return Figure(name, float(errors.max()), "of the range", most=most, note=note)
