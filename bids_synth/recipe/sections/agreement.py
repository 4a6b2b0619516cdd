"""Agreement: what one section of a recipe forbids another."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bids_synth.recipe.sections.network import (
    MOST_ATTENDING,
    MOST_INPUTS,
    AttentionUNetPart,
    ContextPart,
    NetworkPart,
    ResidualUNetPart,
)
from bids_synth.recipe.sections.objective import ObjectivePart, RegressionPart


def pointwise_problems(network: NetworkPart, objective: ObjectivePart) -> list[str]:
    """What asks for images where single voxels are learned from."""
    if not isinstance(objective, RegressionPart):
        return [f"objective: network {network.name} learns by regression, not by {objective.name}"]
    asked = {"ssim": objective.ssim, "features": objective.features}
    return [
        f"objective.{key}: compares images, but network {network.name} learns from single voxels; "
        "set it to 0"
        for key, weight in asked.items()
        if weight
    ]


def size_problems(network: NetworkPart, inputs: int, patch: Sequence[int]) -> list[str]:
    """What would fill the memory whatever the network's own keys are."""
    problems = []
    if isinstance(network, ResidualUNetPart | ContextPart) and inputs > MOST_INPUTS:
        problems.append(
            f"modalities: network {network.name} takes at most {MOST_INPUTS} sources and "
            f"extras, got {inputs}"
        )
    attending = math.prod(patch) // network.divisor**3
    if isinstance(network, AttentionUNetPart) and attending > MOST_ATTENDING:
        problems.append(
            f"fit.patch: attention would span {attending} voxels, at most {MOST_ATTENDING}; "
            "take a smaller patch or more network.levels"
        )
    return problems
