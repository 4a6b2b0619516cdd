"""Score a model and the baselines on visits whose target exists but was withheld."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from bids_synth.learn.baselines import BASELINES, Baselines
from bids_synth.learn.synthesize import Synthesizer
from bids_synth.measure.protocol import PROTOCOLS
from bids_synth.modality import MODALITIES
from bids_synth.prepare.native import to_native
from bids_synth.recipe import Recipe
from bids_synth.scale import Scale
from bids_synth.synthetic import Synthetic
from bids_synth.visit import Prepared
from bids_synth.volume import Volume, read_mask, read_volume


@dataclass(frozen=True)
class Scored:
    """One withheld target of a visit: what was made of it, the real scan and the scores."""

    synthetic: Synthetic
    """On the reference's native grid."""
    real: Volume
    """The withheld scan on the same grid."""
    rows: pd.DataFrame
    """Tidy scores of the model and of every baseline."""


def scenarios(prepared: Prepared, recipe: Recipe) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Pairs of a withheld target and the sources that remain, as the recipe evaluates."""
    present = [m for m in recipe.modalities if m in prepared.images]
    for target in (m for m in recipe.targets if m in present):
        others = [m for m in recipe.sources if m in present and m != target]
        sizes = (
            range(len(others), 0, -1) if recipe.evaluation.scenarios == "all" else [len(others)]
        )
        for size in sizes:
            if size >= recipe.minimum:
                yield from ((target, chosen) for chosen in combinations(others, size))


def real_on_native(prepared: Prepared, target: str) -> Volume:
    """The acquired scan of `target` on the reference's native grid, in its own unit."""
    modality = MODALITIES[target]
    if target == prepared.reference:
        return read_volume(prepared.visit.scans[target].path, unit=modality.unit)
    resampled = read_volume(prepared.images[target], unit=modality.unit)
    return to_native(resampled, prepared, background=modality.background)


def score_withheld(
    synthesizer: Synthesizer,
    baselines: Baselines,
    prepared: Prepared,
    target: str,
    sources: Sequence[str],
) -> Scored:
    """Synthesise `target` from `sources` only, and score it beside the baselines.

    The gain of an image in arbitrary units cannot be known from other images: there, and
    only there, answers are brought to the real scan's own scale, model and baselines alike.
    """
    recipe = synthesizer.model.recipe
    modality = MODALITIES[target]
    scale: Scale = prepared.scales[target]
    made = synthesizer.synthesize(prepared, target, sources=sources, scale=scale)
    answers = {"model": made.image}
    for name in BASELINES:
        answers[name] = baselines.estimate(name, prepared, target, sources=sources, scale=scale)
    real = real_on_native(prepared, target)
    mask = read_mask(prepared.native_mask)
    rows = []
    native = {
        name: to_native(image, prepared, background=modality.background)
        for name, image in answers.items()
    }
    for protocol in recipe.evaluation.protocols:
        for name, image in native.items():
            figures = PROTOCOLS[protocol](real, image, mask)
            rows.append(
                {
                    "visit": prepared.label,
                    "participant": prepared.visit.participant,
                    "target": target,
                    "sources": "+".join(sources),
                    "method": name,
                    "protocol": protocol,
                    **figures,
                }
            )
    spread = made.spread
    spread = to_native(spread, prepared) if spread is not None else None
    synthetic = Synthetic(target, tuple(sources), native["model"], spread)
    return Scored(synthetic, real, pd.DataFrame(rows))
