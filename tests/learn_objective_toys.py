"""The smallest recipe of every objective, with all that it can do switched on."""

from __future__ import annotations

from typing import Any

from learn_toys import small_unet, toy_recipe

from bids_synth.recipe.recipe import Recipe, validate_recipe

JUDGE = {"filters": 4, "layers": 1, "tail": 1, "learning_rate": 1e-3}
RESIDUAL = {"name": "residual-unet", "filters": 4, "blocks": [1, 1]}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "conditional-gan": {
        "modalities": ["T1w", "T2w", "PDw"],
        "network": RESIDUAL,
        "objective": {
            "adversarial": 0.5,
            "gan": "vanilla",
            "start": 0.4,
            "l2": 1.0,
            "emphasis": {"above": 0.5, "weight": 2.0},
            "discriminator": JUDGE | {"spectral": True, "gradient_penalty": 1.0},
        },
        "fit": {"patch": [16, 16, 16], "batch": 1},
    },
    "any-missing-gan": {
        "modalities": ["T1w", "T2w", "PDw"],
        "network": {"name": "unet-2d", "filters": 4, "depth": 4, "imputation": "noise"},
        "objective": {"adversarial": 0.5, "discriminator": JUDGE | {"layers": 2}},
        "fit": {"patch": [16, 16, 1], "batch": 2, "decay": "linear", "beta": 0.5},
    },
    "cycle-gan": {
        "modalities": ["T1w", "T2w"],
        "network": RESIDUAL,
        "objective": {"structure": 0.5, "pool": 3, "discriminator": JUDGE},
        "fit": {"patch": [16, 16, 16], "batch": 1, "decay": "step"},
    },
}
"""Objective -> what its toy differs in; regression is `toy_recipe` itself."""


def toy_of(objective: str, *, changes: dict[str, Any] | None = None, **fit: Any) -> Recipe:
    """A recipe with this objective; `changes` are keys of the objective."""
    if objective == "regression":
        return toy_recipe(**fit)
    own = OBJECTIVES[objective]
    data = small_unet(own["modalities"])
    data["network"] = own["network"]
    data["objective"] = {"name": objective} | own["objective"] | (changes or {})
    data["fit"] |= {"steps": 6, "steps_per_epoch": 2, "members": 1} | own["fit"] | fit
    return validate_recipe(data, origin=objective)
