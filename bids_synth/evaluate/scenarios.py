"""Scenarios: which targets of a visit are withheld, from what they are made, and where scored."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from bids_synth.core.synthetic import Synthetic
from bids_synth.core.visit import Prepared
from bids_synth.errors import VisitError
from bids_synth.prepare.native import part_on_native
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.tasks import Task
from bids_synth.spatial.volume import Volume

LOG = logging.getLogger(__name__)


SCORED = 0.5
"""Share of the mask that a real scan must cover to be scored against."""


def scenarios(prepared: Prepared, recipe: Recipe) -> Iterator[Task]:
    """The visit's real tasks, as the recipe evaluates: from all sources, or from every subset."""
    every = recipe.evaluation.scenarios == "all"
    for task in recipe.tasks(prepared.images):
        if task.real and shows_enough(prepared, task.target):
            yield from task.subsets(recipe.minimum if every else len(task.sources))


def shows_enough(prepared: Prepared, target: str) -> bool:
    """Whether a real scan covers enough of the mask to be scored against; a warning if not."""
    share = prepared.quality.get(f"coverage_{target}", 1.0)
    if share < SCORED:
        text = "%s: the %s covers %.0f %% of the mask and is not scored"
        LOG.warning(text, prepared.label, target, 100 * share)
    return share >= SCORED


def scored_mask(synthetic: Synthetic, prepared: Prepared, *, quiet: bool = False) -> Volume:
    """uint8 on the native grid: the mask, where the target was made and really acquired.

    `synthetic` lies on the prepared grid. A warning says where that is not the whole mask,
    unless that is known (`quiet`).
    """
    mask = prepared.native_mask_image
    acquired = prepared.covered(synthetic.modality)
    parts = [synthetic.made_in] if synthetic.made_in else []
    if acquired is not None:
        parts.append(Volume(acquired.astype(np.uint8), prepared.grid))
    if not parts:
        return mask
    inside = mask.array
    for part in parts:
        inside = inside * part_on_native(part, prepared).astype(np.uint8)
    if not inside.any():
        message = f"{prepared.label}: nothing of the {synthetic.modality} can be scored"
        raise VisitError(message)
    text = "%s: %s is scored in %.0f %% of the mask, where it was both acquired and made"
    share = 100 * inside.sum() / max(1, mask.array.sum())
    if not quiet:
        LOG.warning(text, prepared.label, synthetic.modality, share)
    return mask.with_array(inside)
