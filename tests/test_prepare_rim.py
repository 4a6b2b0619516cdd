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
from bids_synth.prepare.brain.align_head import align_head
from bids_synth.prepare.brain.template_mask import fit_affine, mask_by_template
from bids_synth.spatial.grid import inverse
from bids_synth.spatial.resample import resample
from bids_synth.spatial.template import template_mask
from bids_synth.spatial.volume import Volume, read_volume

pytestmark = pytest.mark.slow
NEAR = 3.0
"""Distance, mm, from the brain beyond which a mask holds skull."""


@cache
def scanned(seed: int, number: int, resolution: float) -> VisitImages:
    """One participant of a demo, T1w and T2w."""
    template = build_template(0.75 * resolution)
    person = draw_individual(np.random.default_rng([seed, number]), template, number)
    contrasts = ("T1w", "T2w")
    return make_visit(template, person, contrasts, seed=(seed, number, 0), resolution=resolution)


def beyond(mask: Volume, truth: np.ndarray) -> float:
    """Share of the brain's volume that a mask holds farther than NEAR from the brain."""
    away = ndimage.distance_transform_edt(truth == 0, sampling=mask.grid.spacing)
    return float((mask.array * (away > NEAR)).sum() / truth.sum())


def assert_whole(mask: Volume) -> None:
    assert ndimage.label(mask.array)[1] == 1
    assert (ndimage.binary_fill_holes(mask.array) == mask.array).all()


@pytest.mark.parametrize(
    ("seed", "number", "resolution", "skull"),
    [(1, 6, 2.0, 0.015), (2, 4, 2.4, 0.005), (2, 10, 2.4, 0.005)],
    ids=["marrow at the vertex", "marrow at the front", "start 15 mm too high"],
)
def test_skull_is_not_brain(seed: int, number: int, resolution: float, skull: float) -> None:
    visit = scanned(seed, number, resolution)
    mask, _ = mask_by_template(visit.scans["T1w"], seed=1)
    assert beyond(mask, visit.truth.mask.array) < skull
    assert dice(mask.array, visit.truth.mask.array) > 0.93
    assert_whole(mask)


@pytest.mark.parametrize("height", [12.0, 18.0])
def test_an_affine_that_starts_in_the_skull_comes_back(height: float) -> None:
    visit = scanned(1, 6, 2.0)
    affine = align_head(visit.scans["T1w"], seed=1)
    affine[2, 3] += height
    affine = fit_affine(visit.scans["T1w"], affine, seed=1)
    laid = resample(template_mask(), visit.truth.mask.grid, transform=inverse(affine))
    assert dice(laid.array > 0.5, visit.truth.mask.array) > 0.87


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
