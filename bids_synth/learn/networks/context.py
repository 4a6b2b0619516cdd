"""Context perceptron: what a voxel becomes, from what lies around it at five scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from bids_synth.learn.networks.blocks.dropout import Dropout
from bids_synth.learn.networks.blocks.parts import Nothing
from bids_synth.learn.networks.blocks.product import linear
from bids_synth.learn.networks.blocks.subset import subset_number
from bids_synth.learn.networks.blocks.surroundings import (
    CENTRE,
    SHARES,
    VALUES,
    Surroundings,
    closed,
    roomy_box,
    width_of,
)

TOGETHER = {"cpu": 2**13, "cuda": 2**17}
"""Voxels that are looked at together: what is read of them stays in a processor's cache, and a
card has enough to do."""


class ContextPerceptron(nn.Module):
    """Linear answer of the available sources, plus what a perceptron adds to it voxel by voxel.

    It sees the values around a voxel, near ones singly and far ones as Gaussian means, as an
    image pyramid does that is cut at one voxel. It learns from single voxels of many
    participants at once, which teach more in a minute than the neighbouring ones of a patch.
    `layers` hidden layers of `width` units, each added to the one before.
    """

    def __init__(
        self,
        *,
        sources: int,
        targets: int,
        width: int = 160,
        layers: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.linear: torch.Tensor
        self.register_buffer("linear", torch.zeros(2**sources, targets, sources + 1))
        self.targets = targets
        self.body: nn.Module = Perceptron(
            width_of(sources) + sources, targets, width, layers, dropout
        )

    def forward(self, images: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        """images (N, S, I, J, K) in scaled numbers, available (N, S) -> (N, T, I, J, K).

        0 far from where any image has a value. Or images (N, V, `width_of(S)`), read around V
        voxels by `Surroundings`, -> (N, T, V, 1, 1).
        """
        if images.dim() == 3:
            return self.at(images, available).transpose(1, 2)[..., None, None]
        pairs = zip(images, available, strict=True)
        return torch.stack([answers_of([self], *pair)[0] for pair in pairs])

    def at(self, read: torch.Tensor, available: torch.Tensor) -> torch.Tensor:
        """What is read around voxels (N, V, width), available (N, S) -> their values (N, V, T)."""
        count, sources = available.shape
        # As one row: a product whose last axis is as short as the sources takes twice as long.
        row = torch.cat([available.repeat(1, VALUES), available.new_ones(count, SHARES)], dim=1)
        values = read * row[:, None]
        known = available[:, None].expand(-1, read.shape[1], -1)
        added: torch.Tensor = self.body(torch.cat([values, known], dim=2).flatten(0, 1))
        weights = self.linear[subset_number(available)]
        centre = values[:, :, CENTRE * sources : (CENTRE + 1) * sources]
        line = torch.einsum("nts,nvs->nvt", weights[:, :, :-1], centre)
        return added.view_as(line) + line + weights[:, None, :, -1]

    def narrowed(self, sources: Sequence[int], targets: Sequence[int]) -> ContextPerceptron:
        """The same network for some of its sources and targets: its answers where others lack."""
        count, body = len(sources), self.body
        every = (self.linear.shape[0] - 1).bit_length()
        if not isinstance(body, Perceptron):
            message = "only a network with a body can be narrowed"
            raise TypeError(message)
        result = ContextPerceptron(
            sources=count,
            targets=len(targets),
            width=body.first.out_features,
            layers=len(body.hidden) + 1,
            dropout=body.drop.p,
        )
        near = torch.arange(VALUES)[:, None] * every + torch.tensor(sources)
        rest = VALUES * every + torch.arange(SHARES)
        there = VALUES * every + SHARES + torch.tensor(sources)
        columns = torch.cat([near.flatten(), rest, there])
        rows = [sum((n >> b & 1) << s for b, s in enumerate(sources)) for n in range(2**count)]
        state = self.state_dict()
        state["body.first.weight"] = state["body.first.weight"][:, columns]
        for name in ("body.last.weight", "body.last.bias"):
            state[name] = state[name][list(targets)]
        lines = state["linear"][rows][:, list(targets)]
        state["linear"] = lines[:, :, [*sources, every]]
        result.load_state_dict(state)
        return result

    def adding(
        self, there: torch.Tensor, available: torch.Tensor
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """The body as a function of what is read of those sources that are there."""
        body, sources, count = self.body, len(available), VALUES * len(available)
        if not isinstance(body, Perceptron):
            return body
        near = body.first.weight[:, :count].view(-1, VALUES, sources)[:, :, there].flatten(1)
        weight = torch.cat([near, body.first.weight[:, count : count + SHARES]], dim=1)
        bias = body.first.bias + body.first.weight[:, count + SHARES :] @ available
        return lambda read: body.rest(linear(read, weight, bias, silu=True))


def answers_of(
    networks: Sequence[ContextPerceptron],
    images: torch.Tensor,
    available: torch.Tensor,
    wanted: torch.Tensor | None = None,
) -> torch.Tensor:
    """What each of M networks makes of one visit, which is read once for all: (M, T, I, J, K).

    images (S, I, J, K), available (S,). As `at` around every voxel, or where `wanted`,
    (I, J, K), is above 0; without what is read of absent sources and would be multiplied by 0.
    """
    images = images.float() * available[:, None, None, None]
    answer = images.new_zeros(len(networks), networks[0].targets, *images.shape[1:])
    inside = (images != 0).any(dim=0)
    if not inside.any():
        return answer
    i, j, k = roomy_box(inside)
    there = available.nonzero()[:, 0]
    lines = [network.linear[subset_number(available[None])][0] for network in networks]
    box, seen = answer[:, :, i, j, k], images[there][:, i, j, k]
    if all(isinstance(network.body, Nothing) for network in networks):
        chosen = closed(inside[i, j, k].to(torch.uint8)[None])[0] > 0
        if wanted is not None:
            chosen &= wanted[i, j, k] > 0
        read = seen[:, chosen].T.half().to(images.dtype)  # As `Surroundings` keeps it.
        for n, line in enumerate(lines):
            made = functional.linear(read, line[:, there], line[:, -1])
            box[n, :, chosen] = made.T.to(answer.dtype)
        return answer
    around = Surroundings(seen, inside[i, j, k])
    added = [network.adding(there, available) for network in networks]
    centre = slice(CENTRE * len(there), (CENTRE + 1) * len(there))
    chosen = around.inside if wanted is None else around.inside & (wanted[i, j, k] > 0)
    for part in torch.split(chosen.nonzero(), TOGETHER.get(images.device.type, TOGETHER["cpu"])):
        read = around.at(part)
        x, y, z = part.unbind(dim=1)
        for n, (add, line) in enumerate(zip(added, lines, strict=True)):
            made = add(read) + functional.linear(read[:, centre], line[:, there], line[:, -1])
            box[n, :, x, y, z] = made.T.to(answer.dtype)
    return answer


class Perceptron(nn.Module):
    """Hidden layers that add to one another; the last one adds nothing to begin with."""

    def __init__(self, inputs: int, outputs: int, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers - 1))
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(layers - 1))
        self.drop = Dropout(dropout)
        self.last = nn.Linear(width, outputs)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(V, inputs) -> (V, outputs)."""
        return self.rest(linear(values, self.first.weight, self.first.bias, silu=True))

    def rest(self, begun: torch.Tensor) -> torch.Tensor:
        """What follows the first layer and its SiLU: (V, width) -> (V, outputs)."""
        state = self.drop(begun)
        for norm, layer in zip(self.norms, self.hidden, strict=True):
            weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
            state = state + self.drop(linear(norm(state), weight, bias, silu=True))
        result: torch.Tensor = self.last(state)
        return result
