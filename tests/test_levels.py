"""Levels: tissues are found in any contrast, and images are brought to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bids_fixtures import make_dataset
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from learn_toys import make_visit
from prepare_phantom import tissues
from scipy import ndimage

from bids_synth.core.scale import Scale, white_matter_scale
from bids_synth.core.synthetic import Synthetic
from bids_synth.core.tissue.levels import TissueLevels, level_curve
from bids_synth.core.tissue.site import Donor, Site, site_of
from bids_synth.evaluate import calibrated as module
from bids_synth.evaluate.calibrated import calibrated
from bids_synth.pipeline.visit.site import having
from bids_synth.prepare.brain.levels import tissue_levels
from bids_synth.spatial.volume import Volume

NAN = float("nan")
level = st.floats(0.1, 3.0)


def brain(white: float, grey: float, fluid: float, *, noise: float = 0.03) -> Volume:
    """The template's tissues in a contrast, at 3 mm; nothing outside."""
    shares, inside, grid = tissues(3.0)
    image = np.tensordot([white, grey, fluid], shares[:3], axes=1)
    image += noise * np.random.default_rng(0).normal(size=image.shape)
    return Volume((image * inside).astype(np.float32), grid)


@settings(max_examples=12)
@given(st.permutations([0.4, 0.9, 1.6]), st.floats(0.5, 1000))
def test_levels_are_found_whatever_the_contrast(order: list[float], gain: float) -> None:
    """The phantom's own greys are the oracle; fluid is thin at 3 mm and mixed with cortex."""
    image = brain(*order)
    found = tissue_levels(image.with_array(image.array * np.float32(gain)), image.array != 0, EYE)
    white, grey, fluid = (gain * v for v in order)
    span = gain * (max(order) - min(order))
    assert found.white == pytest.approx(white, abs=0.06 * span)
    assert found.grey == pytest.approx(grey, abs=0.2 * span)
    assert found.fluid == pytest.approx(fluid, abs=0.45 * span)


EYE = np.eye(4)


def test_an_affine_that_is_off_and_a_lesion_hardly_move_white_matter() -> None:
    image = brain(0.6, 0.9, 1.8)
    off = EYE.copy()
    off[:3, 3] = (5.0, -4.0, 4.0)
    lesion = ndimage.binary_dilation(np.indices(image.array.shape).sum(0) == 90, iterations=2)
    marred = np.where(lesion & (image.array > 0), 1.6, image.array).astype(np.float32)
    found = tissue_levels(image.with_array(marred), image.array != 0, off)
    assert found.white == pytest.approx(0.6, rel=0.05)


def test_nothing_seen_has_no_levels_and_noise_has_one() -> None:
    image = brain(1, 1, 1)
    empty = tissue_levels(image, np.zeros(image.array.shape, bool), EYE)
    assert all(np.isnan(v) for v in (empty.white, empty.grey, empty.fluid))
    assert tissue_levels(image, image.array != 0, EYE).white == pytest.approx(1, abs=0.05)


@given(st.lists(level, min_size=3, max_size=3), st.lists(level, min_size=3, max_size=3))
def test_a_curve_leads_every_level_to_its_own(own: list[float], wanted: list[float]) -> None:
    curve = level_curve(TissueLevels(*own), TissueLevels(*wanted))
    apart = np.diff(sorted(own)) >= 0.02 * max(own)
    assume(apart.all() or curve is None)
    assert (curve is None) == (not apart.all())
    if curve is not None:
        np.testing.assert_allclose(np.interp(own, *curve), wanted, rtol=1e-6)


@given(level, level, st.floats(0, 5))
def test_with_white_matter_alone_a_curve_is_a_gain(
    own: float, wanted: float, value: float
) -> None:
    curve = level_curve(TissueLevels(own, NAN, 1.0), TissueLevels(wanted, 2.0, NAN))
    assert curve is not None
    assert np.interp(value, *curve) == pytest.approx(value * wanted / own, rel=1e-6, abs=1e-9)


@given(st.floats(1, 1e4), st.floats(1e-3, 1e3))
def test_white_matter_becomes_1_and_zero_stays(white: float, gain: float) -> None:
    values = gain * np.linspace(0, 2 * white, 500)
    scale = white_matter_scale(gain * white, values)
    assert scale.apply(np.array([0.0, gain * white])) == pytest.approx([0.0, 1.0])


def test_scores_of_standard_deviations_get_a_zero_of_their_own() -> None:
    values = np.random.default_rng(1).normal(0, 1, 5000)
    scale = white_matter_scale(1.0, values)
    assert scale.offset == pytest.approx(np.percentile(values, 0.5))
    assert scale.apply(np.array([1.0])) == pytest.approx([1.0])


@pytest.mark.parametrize("white", [0.0, -3.0, NAN])
def test_white_matter_darker_than_all_else_is_refused(white: float) -> None:
    with pytest.raises(ValueError, match="white matter"):
        white_matter_scale(white, np.linspace(0, 1, 50))


def donor(name: str, *levels: float) -> Donor:
    return Donor(name, TissueLevels(*levels), Scale(0.0, levels[0]))


def test_a_site_is_the_median_of_its_donors_whatever_their_gain() -> None:
    site = site_of([donor("a", 100, 80, 30), donor("b", 10, 7, 3), donor("c", 1000, 900, NAN)])
    assert site is not None
    assert site.white == 100.0
    assert site.scale == Scale(0.0, 100.0)
    assert site.donors == ("a", "b", "c")
    assert site_of([]) is None
    assert site_of([Donor("a", TissueLevels(NAN, 1, 1), Scale(0.0, 1.0))]) is None


def test_an_image_is_made_as_bright_as_the_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = make_visit(tmp_path, "a", modalities=("T1w", "T2w"), shape=(20, 20, 20))
    own = TissueLevels(0.8, 0.7, 0.3)
    monkeypatch.setattr(module, "tissue_levels", lambda *_: own)
    values = np.random.default_rng(0).uniform(0, 1, person.grid.shape).astype(np.float32)
    image, doubt = (Volume(array, person.grid) for array in (values, values / 10))
    made = Synthetic("T1w", ("T2w",), image, doubt)
    inside = person.mask_image.array > 0
    site = Site(200.0, Scale(0.0, 200.0), ("b",))
    result = calibrated(made, person, site)
    assert result.donors == ("b",)
    np.testing.assert_allclose(result.image.array[inside], 250 * values[inside], rtol=1e-5)
    np.testing.assert_array_equal(result.image.array[~inside], values[~inside])
    assert result.spread is not None
    np.testing.assert_allclose(result.spread.array[inside], 25 * values[inside], rtol=1e-5)
    own = TissueLevels(NAN, NAN, NAN)
    assert calibrated(made, person, site) is made


def test_donors_are_the_first_whose_folders_name_the_modality(tmp_path: Path) -> None:
    names = ["sub-1/anat/sub-1_T1w.nii.gz", "sub-2/ses-a/anat/sub-2_ses-a_T2w.nii.gz",
             "sub-3/anat/sub-3_T2w.nii.gz", "sub-4/anat/sub-4_T2w.nii.gz"]  # fmt: skip
    dataset = make_dataset(tmp_path / "bids", *names)
    assert having(dataset, "T2w", 2) == ["2", "3"]
    assert having(dataset, "T1w", 2) == ["1"]
    assert having(dataset, "FLAIR", 2) == []
