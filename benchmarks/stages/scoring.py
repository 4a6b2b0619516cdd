"""Scoring: all that is measured of one held-out image, against the making of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.stages.measured import FULL, Measured, clock

if TYPE_CHECKING:
    from bids_synth.core.visit import Prepared

SOURCES, TARGET = ("T1w", "PDw"), "FLAIR"


def scoring(work: Path) -> list[Measured]:
    """A 1 mm image by the model that comes with the package, made and then scored.

    Scored as on the page of the group: interval, verdict, the start of the fit, every baseline,
    regions, coverage and volumes. It may take as long as the image itself.
    """
    from benchmarks.toys import whole_brain
    from bids_synth.evaluate.regional import Regional
    from bids_synth.evaluate.score import score_withheld
    from bids_synth.evaluate.trust.intervals import with_interval
    from bids_synth.evaluate.trust.judged import judged
    from bids_synth.evaluate.trust.predicted import SourcePredictor
    from bids_synth.evaluate.trust.trusted import Trusted
    from bids_synth.learn.model.model import load_model
    from bids_synth.learn.synthesize import load_start, load_synthesizer
    from bids_synth.recipe.embedded import DEFAULT, embedded_models

    model = load_model(embedded_models()[DEFAULT])
    prepared = _with_levels(whole_brain(work / "brain", FULL))
    synthesizer = load_synthesizer(model, "cpu")
    start, predictor = load_start(synthesizer), SourcePredictor(synthesizer)
    baselines, members = model.baselines(), len(synthesizer.networks)
    names = f"{TARGET} from {' and '.join(SOURCES)}"
    making = Measured(f"score: {names} at 1 mm, made by {members} networks", 0.0)
    with clock(making):
        image = synthesizer.synthesize(prepared, TARGET, sources=SOURCES)
    result = Measured("score: all that is measured of it", 0.0)
    with clock(result):
        image = with_interval(image, prepared, model.card.intervals)
        image = judged(image, prepared, model, predictor.of(prepared, SOURCES))
        begun = start.synthesize(prepared, TARGET, sources=SOURCES) if start else None
        scored = score_withheld(image, model, baselines, prepared, start=begun)
        Regional().add(scored, prepared)
        Trusted().add(scored, prepared, largest=True)
    result.most_seconds = making.seconds
    result.note = f"{result.seconds / making.seconds:.1f} times its synthesis"
    return [making, result]


def _with_levels(prepared: Prepared) -> Prepared:
    """The visit with the levels of its tissues, as preparation finds them."""
    import numpy as np

    from bids_synth.prepare.brain.levels import tissue_levels

    inside = prepared.mask_image.array > 0
    levels = {m: tissue_levels(prepared.image(m), inside, np.eye(4)) for m in prepared.images}
    return replace(prepared, levels=levels)
