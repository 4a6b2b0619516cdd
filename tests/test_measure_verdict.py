"""The verdict: what is usual passes, what is odd is told in numbers, what is wrong fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_synth.measure.verdict import judge

QUALITY = {
    "registration_T2w": 1.12, "template_correlation": 0.8, "mask_volume": 1450.0,
    "intensity_mean_T1w": 0.5, "intensity_sd_T1w": 0.22, "intensity_skewness_T1w": -0.4,
}  # fmt: skip
TYPICAL = {
    "registration_T2w": (1.12, 0.02), "template_correlation": (0.8, 0.05),
    "mask_volume": (1450.0, 150.0), "intensity_mean_T1w": (0.5, 0.03),
    "intensity_sd_T1w": (0.22, 0.02), "intensity_skewness_T1w": (-0.4, 0.25),
}  # fmt: skip


def test_a_usual_visit_passes_without_words():
    verdict = judge(QUALITY, TYPICAL, 0.02)
    assert verdict.level == "pass"
    assert verdict.reasons == ()


def test_without_typical_values_the_absolute_limits_remain():
    assert judge(QUALITY, {}, None).level == "pass"
    assert judge({**QUALITY, "mask_volume": 250.0}, {}, None).level == "fail"
    assert judge({**QUALITY, "mask_volume": 600.0}, {}, None).level == "review"
    assert judge({**QUALITY, "registration_T2w": 1.001}, {}, None).level == "fail"
    assert judge({**QUALITY, "registration_T2w": 1.015}, {}, None).level == "review"
    assert judge({**QUALITY, "template_correlation": 0.1}, {}, None).level == "review"
    assert judge(QUALITY, {}, 0.15).level == "review"
    assert judge(QUALITY, {}, 0.3).level == "fail"


@pytest.mark.parametrize("name", list(TYPICAL))
def test_four_sds_are_looked_at_and_eight_refused(name):
    mean, sd = TYPICAL[name]
    one_sided = name.startswith(("registration", "template"))
    sign = -1 if one_sided else 1
    levels = [judge({name: mean + sign * z * sd}, TYPICAL, None).level for z in (0, 3.9, 4.1, 8.1)]
    expected = ["pass", "pass", "review", "fail"]
    if name == "registration_T2w":
        expected[3] = judge({name: mean - 8.1 * sd}, {}, None).level
    assert levels == expected


def test_better_than_usual_is_never_held_against_a_visit():
    better = {"registration_T2w": 1.9, "template_correlation": 0.999}
    assert judge(better, TYPICAL, 0.0).level == "pass"


def test_a_handful_of_alike_training_visits_does_not_fail_everybody():
    typical = {"intensity_mean_T1w": (0.5, 1e-6), "mask_volume": (1450.0, 0.0)}
    assert (
        judge({"intensity_mean_T1w": 0.55, "mask_volume": 1600.0}, typical, None).level == "pass"
    )


def test_a_reason_holds_the_number_the_modality_and_what_was_expected():
    (reason,) = judge({"intensity_mean_T1w": 0.9}, TYPICAL, None).reasons
    assert "T1w" in reason
    assert "0.90" in reason
    assert "0.38 to 0.62" in reason
    (reason,) = judge({"mask_volume": 420.0}, {}, None).reasons
    assert "420 ml (expected 700 to 2200 ml)" in reason


def test_every_fault_is_told_and_the_worst_decides():
    odd = {**QUALITY, "mask_volume": 600.0, "intensity_mean_T1w": 2.0}
    verdict = judge(odd, {k: v for k, v in TYPICAL.items() if k != "mask_volume"}, 0.12)
    assert verdict.level == "fail"
    assert len(verdict.reasons) == 3


def test_what_could_not_be_measured_is_looked_at():
    verdict = judge({"registration_T2w": float("nan")}, TYPICAL, None)
    assert verdict.level == "review"
    assert "could not be measured" in verdict.reasons[0]


@given(st.dictionaries(st.sampled_from(list(TYPICAL)), st.floats(-1e6, 1e6)))
def test_a_verdict_has_reasons_exactly_when_it_is_not_pass(quality):
    verdict = judge(quality, TYPICAL, None)
    assert (verdict.level == "pass") == (not verdict.reasons)


def test_a_figure_without_a_check_is_refused_not_skipped():
    with pytest.raises(ValueError, match="no check knows the figure 'time'"):
        judge({"time": 1.0}, {}, None)
