"""Regional: what a model says of grey and white matter, for targets with a physical unit."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from bids_synth.core.modality import MODALITIES
from bids_synth.core.visit import Prepared
from bids_synth.evaluate.score import Scored
from bids_synth.measure.agreement import agreement, mean_values, scatter
from bids_synth.measure.regions import contrast_to_noise
from bids_synth.prepare.brain.tissue_labels import NAMES, tissue_labels


@dataclass
class Regional:
    """Means of regions over the test visits, filled one synthetic image after the other."""

    means: list[pd.DataFrame] = field(default_factory=list)

    def add(self, scored: Scored, prepared: Prepared) -> None:
        """Take up one image; one in arbitrary units has no regional values to compare."""
        synthetic = scored.synthetic
        if MODALITIES[synthetic.modality].arbitrary:
            return
        keys = {
            "visit": prepared.label,
            "participant": prepared.visit.participant,
            "target": synthetic.modality,
            "sources": "+".join(synthetic.sources),
            "method": "model",
        }
        labels, mask = tissue_labels(prepared), scored.where(prepared)
        rows = mean_values(scored.real, synthetic.image, mask, keys, labels=labels, names=NAMES)
        grey, white = (labels.array == number for number in NAMES)
        if grey.any() and white.sum() > 1:
            for name, image in (("real", scored.real), ("synthetic", synthetic.image)):
                rows[f"cnr_{name}"] = contrast_to_noise(image.array, grey, white)
        self.means.append(rows)

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame] | None:
        """Rows per visit and region, and bias, limits and ICC over participants; or None.

        `cnr_real` and `cnr_synthetic` are the contrast of grey to white matter of each image
        over the noise of white matter.
        """
        if not self.means:
            return None
        rows = pd.concat(self.means, ignore_index=True)
        return rows, agreement(scatter(rows))
