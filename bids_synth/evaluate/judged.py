"""Judged: the figures of a synthetic image and its sources, and the verdict that they give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bids_synth.core.synthetic import Synthetic
from bids_synth.core.visit import Prepared
from bids_synth.evaluate.verdict import judge
from bids_synth.learn.data.training_statistics import figures
from bids_synth.learn.model.model import Model


def judged(made: Synthetic, prepared: Prepared, model: Model) -> Synthetic:
    """An image on the prepared grid with its verdict, by what the model learned from."""
    spread = None
    if made.spread is not None:
        inside = (made.made_in or prepared.mask_image).array > 0
        scale, values = model.scales[made.modality], made.spread.array[inside]
        relative = values / made.image.array[inside] if scale.log else values
        spread = float(np.mean(relative, dtype=np.float64)) / scale.gain
    typical = {name: (r.mean, r.sd) for name, r in model.card.ranges.items()}
    found = figures(prepared, made.sources)
    if made.made_in is not None:
        inside = prepared.mask_image.array > 0
        found["synthesised"] = float(made.made_in.array[inside].mean())
    region = model.recipe.preparation.mask
    if region == "head":
        found.pop("mask_volume", None)  # The limits of the verdict are those of a brain.
    return replace(made, verdict=judge(found, typical, spread, region=region))
