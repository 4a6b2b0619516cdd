"""Region statistics against worked examples, an ANOVA by least squares, scipy and closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats

from bids_synth.errors import VisitError
from bids_synth.measure.agreement import agreement, mean_values, scatter
from bids_synth.measure.regions import bland_altman, contrast_to_noise, intraclass, region_means
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume

RNG = np.random.default_rng(2)
SHAPE = (8, 9, 7)
REAL = RNG.normal(30, 5, SHAPE)
LABELS = RNG.choice([0, 2, 3, 7], SHAPE)
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
)
"""Six participants by four judges, table 2 of Shrout and Fleiss 1979."""


def test_icc_is_that_of_the_published_example():
    found = intraclass(SHROUT_FLEISS)
    assert round(found.absolute, 2) == 0.29
    assert round(found.consistent, 2) == 0.71


def anova(table):
    """Mean squares of participants, judges and rest, by regression on dummies."""
    n, k = table.shape
    rows, columns = (a.ravel() for a in np.indices(table.shape))

    def rest(*factors):
        design = np.hstack([np.ones((n * k, 1)), *factors])
        fit, *_ = np.linalg.lstsq(design, table.ravel(), rcond=None)
        return np.sum((table.ravel() - design @ fit) ** 2)

    people, judges = np.eye(n)[rows], np.eye(k)[columns]
    full = rest(people, judges)
    return (
        (rest(judges) - full) / (n - 1),
        (rest(people) - full) / (k - 1),
        full / ((n - 1) * (k - 1)),
    )


@pytest.mark.parametrize(("n", "k"), [(2, 2), (9, 2), (5, 4)])
def test_icc_is_that_of_an_anova_by_least_squares(n, k):
    table = RNG.normal(size=(n, k)) + RNG.normal(size=(n, 1)) * 2
    people, judges, error = anova(table)
    found = intraclass(table)
    absolute = (people - error) / (people + (k - 1) * error + k * (judges - error) / n)
    assert found.absolute == pytest.approx(absolute)
    assert found.consistent == pytest.approx((people - error) / (people + (k - 1) * error))


@given(bias=st.floats(-50, 50))
def test_a_constant_bias_costs_absolute_agreement_only(bias):
    real = np.array([10.0, 14, 9, 17, 12])
    found = intraclass(np.column_stack([real, real + bias]))
    assert found.consistent == pytest.approx(1)
    variance = real.var(ddof=1)
    assert found.absolute == pytest.approx(variance / (variance + bias**2 / 2))


def test_icc_of_nothing_and_of_too_little():
    assert np.isnan(intraclass(np.ones((4, 2))).absolute)
    for wrong in (np.ones((1, 2)), np.ones((4, 1)), np.array([[1, np.nan], [2, 3]]), np.ones(4)):
        with pytest.raises(ValueError, match="finite ratings"):
            intraclass(wrong)


def test_bland_altman_is_mean_and_spread_of_the_differences():
    one, other = RNG.normal(50, 9, 40), RNG.normal(53, 9, 40)
    found = bland_altman(one, other)
    assert found.bias == pytest.approx(np.mean(other - one))
    assert found.high - found.bias == pytest.approx(
        stats.norm.ppf(0.975) * stats.tstd(other - one), rel=1e-4
    )
    assert found.bias - found.low == pytest.approx(found.high - found.bias)
    single = bland_altman(np.array([3.0]), np.array([5.0]))
    assert single.bias == 2
    assert np.isnan([single.low, single.high]).all()
    with pytest.raises(ValueError, match="pairs"):
        bland_altman(one, other[1:])


def test_region_means_are_scipys():
    other = 1.1 * REAL + 2
    found = region_means(REAL, other, LABELS)
    assert list(found["region"]) == ["2", "3", "7"]
    np.testing.assert_allclose(found["real"], ndimage.mean(REAL, LABELS, [2, 3, 7]))
    np.testing.assert_allclose(found["synthetic"], ndimage.mean(other, LABELS, [2, 3, 7]))
    np.testing.assert_allclose(found["bias"], 0.1 * found["real"] + 2)
    np.testing.assert_allclose(found["percent_bias"], 10 + 200 / found["real"])
    assert found["voxels"].sum() == (LABELS > 0).sum()


def test_named_regions_keep_their_rows_though_empty():
    found = region_means(REAL, REAL, LABELS, {3: "thalamus", 9: "pons"})
    assert list(found["region"]) == ["thalamus", "pons"]
    assert list(found["voxels"]) == [(LABELS == 3).sum(), 0]
    assert np.isnan(found["real"][1])
    assert found["percent_bias"][0] == 0
    assert np.isnan(region_means(0 * REAL, REAL, LABELS)["percent_bias"]).all()


def test_labels_that_fit_nothing_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        region_means(REAL, REAL, LABELS[1:])
    with pytest.raises(ValueError, match="0 or more"):
        region_means(REAL, REAL, LABELS - 5)


def test_contrast_to_noise_is_contrast_over_the_references_spread():
    image = np.array([10.0, 12, 14, 1, 2, 3, 99])
    region, reference = np.array([1, 1, 1, 0, 0, 0, 0]), np.array([0, 0, 0, 1, 1, 1, 0])
    assert contrast_to_noise(image, region, reference) == pytest.approx((12 - 2) / 1)
    assert contrast_to_noise(image, reference, region) == pytest.approx((2 - 12) / 2)
    assert contrast_to_noise(3 * image + 8, region, reference) == pytest.approx(10)
    assert np.isnan(contrast_to_noise(np.ones(7), region, reference))
    with pytest.raises(ValueError, match="too few"):
        contrast_to_noise(image, region, np.array([0, 0, 0, 0, 0, 0, 1]))
    with pytest.raises(ValueError, match="one shape"):
        contrast_to_noise(image, region[1:], reference)


def volume(array, unit="SUV", move=0.0):
    affine = np.eye(4)
    affine[0, 3] = move
    return Volume(np.asarray(array, dtype=float), Grid(SHAPE, affine), unit)


def keys(participant, session="A"):
    return {
        "visit": f"sub-{participant}_ses-{session}", "participant": participant,
        "target": "pet", "sources": "T1w", "method": "model",
    }  # fmt: skip


def test_a_visit_has_a_row_for_the_mask_and_one_a_region_inside_it():
    mask = RNG.random(SHAPE) > 0.3
    found = mean_values(
        volume(REAL), volume(2 * REAL), volume(mask), keys("01"), labels=volume(LABELS)
    )
    assert list(found["region"]) == ["mask", "2", "3", "7"]
    assert found["real"][0] == pytest.approx(REAL[mask].mean())
    assert found["real"][1] == pytest.approx(REAL[mask & (LABELS == 2)].mean())
    np.testing.assert_allclose(found["percent_bias"], 100)
    assert set(found["visit"]) == {"sub-01_ses-A"}
    with pytest.raises(VisitError, match="another grid"):
        mean_values(
            volume(REAL), volume(REAL), volume(mask), keys("01"), labels=volume(LABELS, move=1)
        )
    with pytest.raises(VisitError, match="cannot score: labels must be 0 or more"):
        mean_values(
            volume(REAL), volume(REAL), volume(mask), keys("01"), labels=volume(LABELS - 9)
        )


def table(*pairs):
    rows = [
        keys(who, session) | {"region": "mask", "voxels": 5, "real": real, "synthetic": synthetic}
        for who, session, real, synthetic in pairs
    ]
    return pd.DataFrame(rows)


PAIRS = table(
    ("01", "A", 10.0, 13.0), ("01", "B", 12.0, 13.0), ("02", "A", 20.0, 19.0),
    ("03", "A", 15.0, 18.0), ("04", "A", np.nan, 1.0),
)  # fmt: skip


def test_points_are_participants_and_not_visits():
    points = scatter(PAIRS)
    assert list(points["participant"]) == ["01", "02", "03"]
    assert list(points["real"]) == [11, 20, 15]
    assert list(points["difference"]) == [2, -1, 3]
    assert list(points["mean"]) == [12, 19.5, 16.5]


def test_agreement_of_a_panel_is_that_of_its_points():
    found = agreement(scatter(PAIRS)).iloc[0]
    one, other = np.array([11.0, 20, 15]), np.array([13.0, 19, 18])
    assert found["participants"] == 3
    assert found["bias"] == pytest.approx(4 / 3)
    assert found["percent_bias"] == pytest.approx(100 * (4 / 3) / one.mean())
    assert found["high"] == pytest.approx(4 / 3 + 1.96 * np.std(other - one, ddof=1))
    assert found["icc31"] == pytest.approx(intraclass(np.column_stack([one, other])).consistent)
    assert found["pearson"] == pytest.approx(stats.pearsonr(one, other).statistic)


def test_the_same_answer_for_everybody_does_not_agree():
    pairs = table(*((str(k), "A", float(v), 15.0) for k, v in enumerate((11, 15, 19, 13))))
    found = agreement(scatter(pairs)).iloc[0]
    assert abs(found["icc31"]) < 1e-9
    assert np.isnan(found["pearson"])


def test_one_participant_has_a_bias_and_no_agreement():
    found = agreement(scatter(table(("01", "A", 10.0, 13.0)))).iloc[0]
    assert found["bias"] == 3
    assert np.isnan([found["low"], found["icc21"], found["pearson"]]).all()
    assert agreement(scatter(PAIRS[:0])).empty
