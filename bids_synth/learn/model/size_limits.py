"""Budget: how large a recipe's networks would be, known before a byte of them is made."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from bids_synth.learn.data.patches import TOGETHER
from bids_synth.learn.networks import build_network
from bids_synth.learn.networks.blocks.surroundings import width_of
from bids_synth.learn.networks.context import TOGETHER as VOXELS
from bids_synth.learn.networks.own import contract_fault
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.network import POINTWISE

MOST_WEIGHTS = 2**28
"""Numbers that one network may keep: 1 GiB."""
MOST_KEPT = 2**31
"""Numbers that all networks of a model may keep: 8 GiB."""
MOST_MAPS = 2**33
"""Numbers of all the maps that one pass may make: 32 GiB, of which few live at once."""

PROGRAM_GB = 0.5
"""What a process has in memory once its libraries are loaded."""
OF_A_WEIGHT = 5
"""Numbers kept of each while it is fitted: itself, its gradient, two moments, its average."""

Tensors = dict[str, tuple[list[int], str]]
"""Name -> shape and type as safetensors spells it."""
_TYPES = {torch.float32: "F32", torch.int64: "I64"}


def empty_network(recipe: Recipe) -> nn.Module:
    """The network without its numbers: shapes that take no memory."""
    with torch.device("meta"):
        return build_network(recipe)


def tensors_of(recipe: Recipe) -> Tensors:
    """Shape and type of every tensor that a file of the recipe's weights must have."""
    return described(empty_network(recipe))


def described(network: nn.Module) -> Tensors:
    """Shape and type of every tensor of a network."""
    state = network.state_dict()
    return {name: (list(t.shape), _TYPES[t.dtype]) for name, t in state.items()}


def size_problems(recipe: Recipe, *, networks: int = 1) -> list[str]:
    """Why a model of so many networks would be too large to use; nothing where it is not."""
    network = empty_network(recipe).eval()
    if fault := contract_fault(network, recipe):
        return [fault]
    kept = sum(tensor.numel() for tensor in network.state_dict().values())
    if kept > MOST_WEIGHTS:
        return [_sentence("its network would keep", kept, MOST_WEIGHTS)]
    if kept * networks > MOST_KEPT:
        return [_sentence(f"its {networks} networks would keep", kept * networks, MOST_KEPT)]
    windows = max(1, TOGETHER // int(np.prod(recipe.fit.patch)), recipe.fit.batch)
    maps = _map_numbers(network, recipe) * windows
    if maps > MOST_MAPS:
        return [_sentence(f"{windows} patch(es) at a time would make", maps, MOST_MAPS)]
    return []


def memory_problems(recipe: Recipe, gigabytes: float) -> list[str]:
    """Why a fit can in no case run in so much memory; nothing where it may.

    Counted are the program itself and of every weight what Adam and the average keep of it.
    """
    weights = sum(tensor.numel() for tensor in empty_network(recipe).state_dict().values())
    least = PROGRAM_GB + OF_A_WEIGHT * 4 * weights / 1e9
    if gigabytes >= least:
        return []
    text = f"--mem {gigabytes:g}G: a fit of recipe {recipe.name} takes more than {least:.1f} GB"
    return [f"{text}; give the job more memory, or take fewer filters, levels or blocks"]


def _sentence(what: str, numbers: int, most: int) -> str:
    return (
        f"{what} {numbers * 4 / 2**30:.1f} GiB, at most {most * 4 / 2**30:.0f}; take fewer "
        "filters, levels or blocks, or a smaller fit.patch or fit.batch"
    )


def map_numbers(recipe: Recipe) -> int:
    """Numbers of all maps that the recipe's network makes of one patch."""
    return _map_numbers(empty_network(recipe).eval(), recipe)


def _map_numbers(network: nn.Module, recipe: Recipe) -> int:
    """Numbers of all maps of one patch, by a pass that computes shapes alone."""
    total = 0

    def add(_module: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal total
        total += output.numel() if isinstance(output, torch.Tensor) else 0

    for part in network.modules():
        if not any(True for _ in part.children()):
            part.register_forward_hook(add)
    inputs = len(recipe.inputs)
    with torch.inference_mode():
        shape: tuple[int, ...] = (inputs, *recipe.fit.patch)
        if recipe.network.name in POINTWISE:
            shape = (VOXELS["cpu"], width_of(inputs))
        images = torch.empty(1, *shape, device="meta")
        network(images, torch.ones(1, inputs, device="meta"))
    return total
