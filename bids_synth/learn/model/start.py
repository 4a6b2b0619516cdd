"""Start: the answer that a fit begins from, kept so that what was learned can be seen."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from bids_synth.learn.model.size_limits import Tensors, described, empty_network, tensors_of
from bids_synth.learn.networks.blocks.parts import Nothing
from bids_synth.learn.networks.context import ContextPerceptron
from bids_synth.learn.networks.residual_unet import ResidualUNet
from bids_synth.recipe.recipe import Recipe

ADDING = (ResidualUNet, ContextPerceptron)
"""Networks whose body adds to a fixed answer."""


def bare(network: nn.Module) -> nn.Module:
    """The network with nothing but its fixed answer: lines and curves, no bodies."""
    for part in network.modules():
        if isinstance(part, ADDING):
            part.body = Nothing()
    return network


def start_names(network: nn.Module) -> list[str]:
    """Names of the tensors that hold the fixed answer; none where a network has none."""
    ways = [name for name, part in network.named_modules() if isinstance(part, ADDING)]
    kept = [f"{way}.{own}".lstrip(".") for way in ways for own in ("curve", "linear")]
    return [name for name in kept if name in network.state_dict()]


def save_start(network: nn.Module, path: Path, *, complete: bool) -> None:
    """Write the answer of a network that no step has changed; no file where it has none.

    `complete` where the network was fitted before, and its answer is that of all its weights.
    """
    state = network.state_dict()
    names = list(state) if complete else start_names(network)
    path.unlink(missing_ok=True)
    if names:
        save_file({name: state[name].detach().contiguous().clone() for name in names}, path)


def load_start(path: Path, recipe: Recipe) -> nn.Module:
    """The network of a file that `save_start` wrote, in evaluation mode."""
    tensors = load_file(path)
    network = empty_network(recipe)
    if tensors.keys() != network.state_dict().keys():
        network = bare(network)
    network.load_state_dict(tensors, assign=True)
    return network.requires_grad_(requires_grad=False).eval()


def start_tensors(recipe: Recipe) -> tuple[Tensors, Tensors]:
    """What a file of a start may hold: the fixed answer alone, or a whole network."""
    return described(bare(empty_network(recipe))), tensors_of(recipe)
