"""Judged: the figures of a synthetic image and its sources, and the verdict that they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bids_synth.core.synthetic import Synthetic, Verdict
from bids_synth.core.visit import Prepared
from bids_synth.evaluate.verdict import judge
from bids_synth.learn.data.training_statistics import figures
from bids_synth.learn.model.card import Weak
from bids_synth.learn.model.model import Model


def judged(synthetic: Synthetic, prepared: Prepared, model: Model) -> Synthetic:
    """An image on the prepared grid with its verdict, by what the model learned from."""
    spread = None
    if synthetic.spread is not None:
        inside = (synthetic.made_in or prepared.mask_image).array > 0
        scale, values = model.scales[synthetic.modality], synthetic.spread.array[inside]
        relative = values / synthetic.image.array[inside] if scale.log else values
        spread = float(np.mean(relative, dtype=np.float64)) / scale.gain
    ranges = {name: (r.mean, r.sd) for name, r in model.card.ranges.items()}
    quality = figures(prepared, synthetic.sources)
    if synthetic.made_in is not None:
        inside = prepared.mask_image.array > 0
        quality["synthesised"] = float(synthetic.made_in.array[inside].mean())
    region = model.recipe.preparation.mask
    if region == "head":
        quality.pop("mask_volume", None)  # The limits of the verdict are those of a brain.
    verdict = judge(quality, ranges, spread, region=region)
    return replace(synthetic, verdict=_with_weakness(verdict, synthetic, model.card.weak))


def _with_weakness(verdict: Verdict, synthetic: Synthetic, weak: Sequence[Weak]) -> Verdict:
    """No `pass` for a task in which the model was not better than a plain answer."""
    told = [
        one.reason
        for one in weak
        if one.target == synthetic.modality and {*one.sources} == {*synthetic.sources}
    ]
    if not told:
        return verdict
    level = "review" if verdict.level == "pass" else verdict.level
    return Verdict(level, (*verdict.reasons, *told))
