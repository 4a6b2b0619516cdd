"""A brain mask has no skull, no holes and one piece, whatever the image shows around the brain."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from prepare_phantom import dice
from scipy import ndimage

from benchmarks.masks import with_skull
from bids_synth.demo.head.anatomy import build_template
from bids_synth.demo.head.individual import draw_individual
from bids_synth.demo.visit_images import VisitImages, make_visit
from bids_synth.prepare.brain.template_mask import mask_by_template
from bids_synth.spatial.volume import Volume, read_volume

pytestmark = pytest.mark.slow
NEAR = 3.0
"""Distance, mm, from the brain beyond which a mask holds skull."""


@cache
def scanned() -> VisitImages:
    """The seventh participant of the demo, whose marrow at the vertex once was brain."""
    number = 6
    template = build_template(1.5)
    person = draw_individual(np.random.default_rng([1, number]), template, number)
    return make_visit(template, person, ("T1w", "T2w"), seed=(1, number, 0), resolution=2.0)


def beyond(mask: Volume, truth: np.ndarray) -> float:
    """Share of the brain's volume that a mask holds farther than NEAR from the brain."""
    away = ndimage.distance_transform_edt(truth == 0, sampling=mask.grid.spacing)
    return float((mask.array * (away > NEAR)).sum() / truth.sum())


def assert_whole(mask: Volume) -> None:
    assert ndimage.label(mask.array)[1] == 1
    assert (ndimage.binary_fill_holes(mask.array) == mask.array).all()


def test_marrow_at_the_vertex_is_not_brain() -> None:
    visit = scanned()
    mask, _ = mask_by_template(visit.scans["T1w"], seed=1)
    assert beyond(mask, visit.truth.mask.array) < 0.015
    assert dice(mask.array, visit.truth.mask.array) > 0.94
    assert_whole(mask)


@pytest.mark.real
@pytest.mark.parametrize(("contrast", "least"), [("T1w", 0.93), ("T2w", 0.97), ("FLAIR", 0.94)])
def test_a_real_brain_is_found_within_a_drawn_skull(
    real_data: Path, contrast: str, least: float
) -> None:
    path = real_data / "stripped" / "sub-ms07" / "anat" / f"sub-ms07_{contrast}.nii.gz"
    head, truth = with_skull(read_volume(path), contrast)
    mask, _ = mask_by_template(head, seed=1)
    assert beyond(mask, truth.array) < 0.005
    assert dice(mask.array, truth.array) > least
    assert_whole(mask)
