"""The verdict: what is usual passes, what is odd is told in numbers, what is wrong fails.

Where the limits lie is asked of data: samples of what a model learned from, pairs of images that
are aligned and that are not, and sizes of heads that are published.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prepare_phantom import make_scan, truth_mask

from bids_synth.evaluate.trust.verdict import judge
from bids_synth.spatial.similarity import mutual_information

QUALITY = {
    "registration_T2w": 1.12, "template_correlation": 0.8, "mask_volume": 1450.0,
    "intensity_mean_T1w": 0.5, "intensity_sd_T1w": 0.22, "intensity_skewness_T1w": -0.4,
}  # fmt: skip
TYPICAL = {
    "registration_T2w": (1.12, 0.02), "template_correlation": (0.8, 0.05),
    "mask_volume": (1450.0, 150.0), "intensity_mean_T1w": (0.5, 0.03),
    "intensity_sd_T1w": (0.22, 0.02), "intensity_skewness_T1w": (-0.4, 0.25),
}  # fmt: skip
LEVELS = ("pass", "review", "fail")
UNLIMITED = ("intensity_mean_T1w", "intensity_sd_T1w", "intensity_skewness_T1w")
"""Figures that are held to the training visits alone."""


def level(name: str, value: float, typical: tuple[float, float] | None) -> int:
    """0 for pass, 1 for review, 2 for fail."""
    told = {name: typical} if typical else {}
    return LEVELS.index(judge({name: value}, told).level)


def test_a_usual_visit_passes_without_words():
    verdict = judge({**QUALITY, "made_spread_T2w": 0.02}, TYPICAL)
    assert verdict.level == "pass"
    assert verdict.reasons == ()
    assert judge(QUALITY, {}).level == "pass"


@given(st.sampled_from(UNLIMITED), st.floats(-5, 5), st.floats(1, 50), st.floats(-20, 20))
def test_only_the_distance_in_standard_deviations_counts(name, mean, sd, z):
    """Neither the unit of a figure nor its zero, once its spread is more than rounding."""
    z = round(z, 2) + 0.005
    assert level(name, mean + z * sd, (mean, sd)) == level(name, z, (0.0, 1.0))
    assert level(name, mean - z * sd, (mean, sd)) == level(name, z, (0.0, 1.0))


@given(st.sampled_from(list(TYPICAL)), st.floats(0, 60), st.floats(0, 60))
def test_farther_from_the_usual_is_never_better(name, one, other):
    """To the side that is bad; for figures of which both are, to either."""
    mean, sd = TYPICAL[name]
    near, far = sorted((one, other))
    sides = (-1,) if name.startswith(("registration", "template")) else (-1, 1)
    for side in sides:
        found = [level(name, mean + side * z * sd, (mean, sd)) for z in (near, far)]
        assert found[0] <= found[1]


DRAWS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "skewed": lambda rng, n: rng.gamma(4.0, size=n),
    "two sites": lambda rng, n: rng.normal(size=n) + 3 * (rng.random(n) < 0.5),
}
"""Figures of visits of one study, in some unit."""


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize(("visits", "most"), [(6, 0.06), (20, 0.02), (100, 0.01)])
def test_false_alarms_are_rare_and_gross_outliers_always_told(draw, visits, most):
    """New visits of the study that the typical values were measured on; six figures a visit."""
    rng, alarms, failed = np.random.default_rng(7), [], []
    for _ in range(400):
        seen = DRAWS[draw](rng, visits)
        typical = (float(seen.mean()), float(seen.std(ddof=1)))
        usual = [level("intensity_mean_T1w", v, typical) for v in DRAWS[draw](rng, 6)]
        alarms.append(np.mean([found > 0 for found in usual]))
        failed.append(np.mean([found > 1 for found in usual]))
        for far in (-30, 30):
            assert level("intensity_mean_T1w", typical[0] + far * typical[1], typical) == 2
    assert np.mean(alarms) <= most
    assert np.mean(failed) <= most / 3


def test_other_visits_of_a_study_pass_and_a_blank_one_does_not():
    mask = truth_mask(6.0).array > 0

    def figures(array: np.ndarray) -> dict[str, float]:
        low, high = np.percentile(array[mask], [0.5, 99.5])
        values = (array[mask] - low) / max(high - low, 1e-6)
        z = (values - values.mean()) / max(values.std(), 1e-6)
        found = (values.mean(), values.std(), (z**3).mean())
        return dict(zip(UNLIMITED, map(float, found), strict=True))

    scans = [make_scan("T1w", spacing=6.0, seed=seed).array for seed in range(6)]
    seen = [figures(array) for array in scans[1:]]
    columns = {name: [row[name] for row in seen] for name in UNLIMITED}
    typical = {n: (float(np.mean(c)), float(np.std(c, ddof=1))) for n, c in columns.items()}
    assert judge(figures(scans[0]), typical).level == "pass"
    assert judge(figures(0 * scans[0]), typical).level != "pass"


def test_aligned_images_pass_and_displaced_ones_do_not():
    """Without typical values: mutual information of a phantom's T1w and T2w says which."""
    one, other = (make_scan(m, spacing=4.0, seed=n) for n, m in enumerate(("T1w", "T2w")))
    mask = truth_mask(4.0).array
    found = []
    for shift in (0, 6):
        moved = np.roll(other.array, (shift, shift, 0), axis=(0, 1, 2))
        value = mutual_information(one.array, moved, mask)
        found.append(level("registration_T2w", value, None))
    assert found[0] == 0
    assert found[1] > 0


@pytest.mark.parametrize(
    ("ml", "least"),
    [(900, 0), (1200, 0), (1450, 0), (1900, 0), (450, 1), (3800, 1), (60, 2), (9000, 2)],
)
def test_a_mask_of_a_brain_passes_and_one_of_half_or_of_the_head_does_not(ml, least):
    """Adults have 900 to 1900 ml (Allen 2002); half of the smallest, a head, a hand, a torso."""
    found = level("mask_volume", float(ml), None)
    assert found == 0 if least == 0 else found >= least


def test_networks_that_agree_pass_and_those_that_know_nothing_fail():
    """The spread of two answers, as a fraction of the range of the image."""
    rng = np.random.default_rng(3)
    answers = rng.random((2, 20000))
    known = answers[:1] + 0.02 * rng.normal(size=(2, 20000))
    spreads = [float(a.std(axis=0, ddof=1).mean()) for a in (known, answers)]
    levels = [judge({"made_spread_T2w": spread}, {}).level for spread in spreads]
    assert levels[0] == "pass"
    assert levels[1] != "pass"


def test_better_than_usual_is_never_held_against_a_visit():
    better = {"registration_T2w": 1.9, "template_correlation": 0.999}
    assert judge({**better, "made_spread_T2w": 0.0}, TYPICAL).level == "pass"


def test_a_handful_of_alike_training_visits_does_not_fail_everybody():
    typical = {"intensity_mean_T1w": (0.5, 1e-6), "mask_volume": (1450.0, 0.0)}
    assert judge({"intensity_mean_T1w": 0.55, "mask_volume": 1600.0}, typical).level == "pass"


@given(st.floats(-3, 3), st.floats(0.1, 2), st.floats(20, 90))
def test_a_reason_holds_the_number_and_the_range_that_passes(mean, sd, z):
    name, typical = "intensity_skewness_T1w", (mean, sd)
    (reason,) = judge({name: mean + z * sd}, {name: typical}).reasons
    assert "T1w" in reason
    assert f"{mean + z * sd:.2f}" in reason
    low, high = map(float, re.search(r"expected (-?[\d.]+) to (-?[\d.]+)\)", reason).groups())
    for end, inward in ((low, 1), (high, -1)):
        assert level(name, end + inward * 0.01, typical) == 0
        assert level(name, end - inward * 0.01, typical) == 1


def test_a_reason_of_a_mask_is_in_millilitres():
    (reason,) = judge({"mask_volume": 420.0}, {}).reasons
    assert re.search(r"420 ml \(expected \d+ to \d+ ml\)", reason)


def test_every_fault_is_told_and_the_worst_decides():
    odd = {**QUALITY, "mask_volume": 600.0, "intensity_mean_T1w": 2.0, "made_spread_T2w": 0.12}
    verdict = judge(odd, {k: v for k, v in TYPICAL.items() if k != "mask_volume"})
    assert verdict.level == "fail"
    assert len(verdict.reasons) == 3


def test_what_could_not_be_measured_is_looked_at():
    verdict = judge({"registration_T2w": float("nan")}, TYPICAL)
    assert verdict.level == "review"
    assert "could not be measured" in verdict.reasons[0]


@given(st.dictionaries(st.sampled_from(list(TYPICAL)), st.floats(-1e6, 1e6)))
def test_a_verdict_has_reasons_exactly_when_it_is_not_pass(quality):
    verdict = judge(quality, TYPICAL)
    assert (verdict.level == "pass") == (not verdict.reasons)


def test_a_figure_without_a_check_is_refused_not_skipped():
    with pytest.raises(ValueError, match="no check knows the figure 'time'"):
        judge({"time": 1.0}, {})


@pytest.mark.parametrize(
    ("name", "usual", "odd", "words"),
    [
        # Clinical slices against the 1 mm that a model learned from.
        ("voxel_T2w", 1.2, 4.5, "4.5 mm (expected at most 3.0 mm)"),
        # A T1w in place of a T2w; fluid that was not nulled in a FLAIR.
        ("level_grey_T2w", 1.35, 0.75, "grey against white matter 0.75"),
        ("level_fluid_FLAIR", 0.6, 2.4, "fluid against white matter 2.40"),
    ],
)
def test_what_the_model_did_not_learn_from_is_told(name, usual, odd, words):
    learned = {
        "voxel_T2w": (1.0, 0.0), "level_grey_T2w": (1.33, 0.05), "level_fluid_FLAIR": (0.55, 0.1),
    }  # fmt: skip
    assert judge({name: usual}, learned).level == "pass"
    verdict = judge({name: odd}, learned)
    assert verdict.level != "pass"
    assert any(words in reason for reason in verdict.reasons)
    assert judge({name: 0.8}, {"voxel_T2w": (1.0, 0.0)}).level == "pass", "finer is no fault"


def test_no_limit_is_told_where_a_figure_cannot_be():
    told = judge({"noise_T1w": 12.0}, {"noise_T1w": (2.0, 1.0)}, limits=(4.0, 8.0))
    assert told.level == "fail"
    assert "(expected at most 6.0)" in told.reasons[0]
    both = judge({"intensity_sd_T1w": 0.1}, {"intensity_sd_T1w": (0.22, 0.02)}, limits=(4, 8))
    assert "0.14 to 0.30" in both.reasons[0]
