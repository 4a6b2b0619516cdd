"""Means of grey and white matter, on phantoms whose means and places are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_synth.core.synthetic import Synthetic
from bids_synth.core.visit import Prepared, Scan, Visit
from bids_synth.evaluate.regional import Regional
from bids_synth.evaluate.score import Scored
from bids_synth.prepare.brain.tissue_labels import tissue_labels
from bids_synth.spatial.itk import write_itk
from bids_synth.spatial.template import template_mask, template_tissue
from bids_synth.spatial.volume import Volume, write_volume

SHIFT = np.array([12.0, -8.0, 4.0])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The template itself at 4 mm, moved by whole voxels."""
    folder = tmp_path_factory.mktemp("regional")
    grid = template_mask().grid.with_spacing(4.0)
    moved = np.eye(4)
    moved[:3, 3] = SHIFT
    mask = write_volume(Volume(np.ones(grid.shape, np.uint8), grid), folder / "mask.nii.gz")
    return Prepared(
        visit=Visit("01", None, {"T1w": Scan("T1w", mask)}),
        reference="T1w",
        native=grid,
        grid=grid,
        images={},
        mask=mask,
        native_mask=mask,
        transforms={},
        template=write_itk(moved, folder / "template.txt"),
        scales={},
        quality={},
        stripped=False,
        key="0" * 64,
    )


def test_labels_lie_where_the_affine_puts_the_template(prepared: Prepared) -> None:
    labels = tissue_labels(prepared)
    grey, white = (template_tissue(tissue) for tissue in ("gm", "wm"))
    index = np.argwhere(labels.array > 0)[::97]
    there = prepared.native.to_mm(index) - SHIFT
    nearest = np.rint(grey.grid.to_index(there)).astype(int)
    at = tuple(nearest.T)
    wanted = np.where(white.array[at] > grey.array[at], 2, 1)
    found = labels.array[tuple(index.T)]
    sure = np.abs(white.array[at] - grey.array[at]) > 0.5
    assert sure.sum() > 50
    assert (found == wanted)[sure].mean() > 0.99


def scored(prepared: Prepared, bias: float, target: str = "pet") -> Scored:
    labels = tissue_labels(prepared).array
    noise = np.random.default_rng(3).normal(0, 0.1, labels.shape)
    values = np.select([labels == 1, labels == 2], [3.0, 1.0]) + noise
    real = Volume(values, prepared.native, "SUV")
    made = Synthetic(target, ("T1w",), real.with_array(real.array + bias), None)
    return Scored(made, real, pd.DataFrame())


def test_a_constant_bias_is_told_for_every_region(prepared: Prepared) -> None:
    regional = Regional()
    regional.add(scored(prepared, 0.5), prepared)
    tables = regional.tables()
    assert tables is not None
    rows, agreed = tables
    assert set(rows["region"]) == {"mask", "grey matter", "white matter"}
    np.testing.assert_allclose(rows["bias"], 0.5, atol=1e-6)
    np.testing.assert_allclose(agreed["bias"], 0.5, atol=1e-6)
    grey = rows[rows["region"] == "grey matter"].iloc[0]
    assert grey["real"] == pytest.approx(3.0, abs=0.01)
    # Contrast 2 over a noise of 0.1; a bias of the whole image changes neither.
    assert grey["cnr_real"] == pytest.approx(20, rel=0.05)
    assert grey["cnr_synthetic"] == pytest.approx(grey["cnr_real"])


def test_images_in_arbitrary_units_have_no_regional_values(prepared: Prepared) -> None:
    regional = Regional()
    regional.add(scored(prepared, 0.5, "T2w"), prepared)
    assert regional.tables() is None
