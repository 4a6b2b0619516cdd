"""Own: networks of other packages, imported only where a person has named them for this run."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module

import torch
from torch import nn

from bids_synth.errors import ModelError, UsageError
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.network import OWN_PATH, OwnPart

_ADMITTED: dict[str, Callable[..., nn.Module]] = {}
KEPT = (torch.float32, torch.int64)
"""Types of tensors that a model folder holds."""


def admit(path: str) -> None:
    """Import the class of `package.module:Class`, which recipes and models may then name.

    Importing runs the package. Raises UsageError where it cannot be, or is no torch module.
    """
    if not re.match(OWN_PATH, path):
        message = f"--own-network {path}: expected package.module:Class"
        raise UsageError(message)
    module, _, name = path.partition(":")
    try:
        found = getattr(import_module(module), name, None)
    except Exception as error:
        message = (
            f"--own-network {path}: cannot be imported ({type(error).__name__}: {error}); install "
            "its package beside bids_synth, or name its folder in PYTHONPATH"
        )
        raise UsageError(message) from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        message = f"--own-network {path}: {module} has no torch.nn.Module of that name"
        raise UsageError(message)
    _ADMITTED[path] = found


def own_network(path: str) -> Callable[..., nn.Module]:
    """The class of an admitted path; ModelError that says how to admit it otherwise."""
    if path not in _ADMITTED:
        message = (
            f"the network is {path}, code that does not come with bids_synth, and is not run "
            f"unasked: read it, install it, and give --own-network {path} (in Python: "
            f'load(..., own_network="{path}"))'
        )
        raise ModelError(message)
    return _ADMITTED[path]


def contract_fault(network: nn.Module, recipe: Recipe) -> str | None:
    """What a network of another package does not keep of its contract; None where it keeps it.

    `network` lies on the meta device: shapes alone are computed.
    """
    if not isinstance(recipe.network, OwnPart):
        return None
    path, patch = recipe.network.import_, tuple(recipe.fit.patch)
    if odd := [name for name, t in network.state_dict().items() if t.dtype not in KEPT]:
        return f"network {path}: {', '.join(odd[:3])}: expected tensors of float32 or int64"
    inputs = len(recipe.inputs)
    images = torch.empty(1, inputs, *patch, device="meta")
    wanted = (1, len(recipe.targets), *patch)
    try:
        with torch.inference_mode():
            answer = network(images, torch.ones(1, inputs, device="meta"))
        shape = tuple(answer.shape)
    except Exception as error:  # noqa: BLE001 (whatever a stranger's network does)
        return (
            f"network {path}: fails for images {tuple(images.shape)} and available "
            f"{(1, inputs)} on the meta device ({type(error).__name__}: {error})"
        )
    return None if shape == wanted else f"network {path}: gives {shape}, expected {wanted}"
