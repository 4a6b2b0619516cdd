"""Image figures: how a synthetic image as a whole compares with real ones of its contrast."""

from __future__ import annotations

import numpy as np

from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import Scale
from bids_synth.core.synthetic import Synthetic
from bids_synth.core.visit import Prepared
from bids_synth.learn.data.training_statistics import level_figures
from bids_synth.prepare.brain.levels import tissue_levels
from bids_synth.spatial.itk import read_itk

MADE = "made"
"""How the names of these figures begin."""
REAL = {
    "made_mean": "intensity_mean",
    "made_sd": "intensity_sd",
    "made_skewness": "intensity_skewness",
    "made_grey": "level_grey",
    "made_fluid": "level_fluid",
}
"""Figure of a synthetic image -> the same of a real one."""


def image_figures(synthetic: Synthetic, prepared: Prepared) -> dict[str, float]:
    """Mean, SD and skewness of the scaled values, the levels of the tissues, the mean spread.

    `made_<mean|sd|skewness|grey|fluid|spread>_<modality>` of an image on the prepared grid. The
    levels are grey matter and fluid against white matter, of images of arbitrary unit whose
    visit was scaled by tissue; the spread, of several networks, is in scaled numbers.
    """
    target, scale = synthetic.modality, synthetic.scale or Scale(0.0, 1.0)
    made = (synthetic.made_in or prepared.mask_image).array > 0
    values = scale.apply(synthetic.image.array[made]).astype(np.float64)
    mean, sd = float(values.mean()), max(float(values.std()), 1e-6)
    figures = {
        f"made_mean_{target}": mean,
        f"made_sd_{target}": sd,
        f"made_skewness_{target}": float((((values - mean) / sd) ** 3).mean()),
    }
    if synthetic.spread is not None:
        spread = float(np.mean(synthetic.spread.array[made], dtype=np.float64))
        figures[f"made_spread_{target}"] = spread / scale.span
    if MODALITIES[target].arbitrary and prepared.levels:
        levels = tissue_levels(synthetic.image, made, read_itk(prepared.template))
        for name, value in level_figures(target, levels).items():
            figures[name.replace("level_", "made_")] = value
    return figures
