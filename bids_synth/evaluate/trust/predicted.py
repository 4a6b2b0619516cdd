"""Predicted: whether the scans of a visit fit one another, asked of the model itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bids_synth.core.visit import Prepared
from bids_synth.errors import VisitError
from bids_synth.evaluate.trust.intervals import half_of, with_interval
from bids_synth.evaluate.trust.judged import Predicted
from bids_synth.learn.model.evidence import IntervalEntry
from bids_synth.learn.synthesize import Synthesizer
from bids_synth.recipe.tasks import Task

FEWEST = 3
"""Held-out participants below which nobody knows what an interval holds of a visit like others."""


@dataclass
class SourcePredictor:
    """Makes each source of a visit from the others, where the model makes it at all.

    What a model's own interval holds of a scan that is there says whether scans are of one head,
    aligned, and of the contrasts that they are named after. One half of the head is looked at.
    """

    synthesizer: Synthesizer
    _last: dict[tuple[str, tuple[str, ...]], Predicted] = field(default_factory=dict)
    """Of the last visit."""
    _label: str = ""

    def __post_init__(self) -> None:
        # What the other has in memory stays there: it is asked for more targets of these sources.
        self._own = replace(self.synthesizer, last={})

    def of(self, prepared: Prepared, sources: Sequence[str]) -> Predicted:
        """`predicted_<source>`: share held, and mean and SD of the shares of held-out people."""
        place = (prepared.key, tuple(sources))
        if prepared.label != self._label:
            self._last, self._label = {}, prepared.label
        if place not in self._last:
            self._last[place] = self._find(prepared, sources)
        return self._last[place]

    def _find(self, prepared: Prepared, sources: Sequence[str]) -> Predicted:
        found = {}
        for target in sources:
            others = tuple(source for source in sources if source != target)
            entry = self._entry(target, others)
            if entry is None:
                continue
            share = self._held(prepared, target, others, entry)
            if share is not None:
                known = entry.coverage
                typical = (float(np.mean(known)), float(np.std(known, ddof=1)))
                found[f"predicted_{target}"] = (share, typical)
        return found

    def _entry(self, target: str, others: Sequence[str]) -> IntervalEntry | None:
        model = self.synthesizer.model
        task = Task(target, tuple(others), real=True)
        if target not in model.recipe.targets or not task.feasible(model.recipe.minimum):
            return None
        fits = (
            e
            for e in model.card.intervals
            if e.target == target and {*e.sources} == {*others} and len(e.coverage) >= FEWEST
        )
        return next(fits, None)

    def _held(
        self, prepared: Prepared, target: str, others: Sequence[str], entry: IntervalEntry
    ) -> float | None:
        try:
            image = self._own.synthesize(
                prepared, target, sources=others, within=half_of(prepared, left=True)
            )
        except VisitError:
            return None
        image = with_interval(image, prepared, [entry])
        if image.interval is None or image.scale is None:
            return None
        made = (image.made_in or prepared.mask_image).array > 0
        there = prepared.covered(target)
        made = made if there is None else made & there
        if not made.any():
            return None
        scaled = prepared.scales[target].apply(prepared.image(target).array[made])
        error = np.abs(image.scale.invert(scaled) - image.image.array[made])
        return float(np.mean(error <= image.interval.half_width.array[made]))
