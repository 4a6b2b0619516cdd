"""The table of scores: means over participants, intervals, gains, files and plain text."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_synth.errors import UsageError
from bids_synth.measure.bootstrap import interval
from bids_synth.measure.table import COLUMNS, read_rows, summarise, write_rows
from bids_synth.measure.terminal import format_table


def row(participant, method, psnr, *, target="T2w", sources="T1w", session="A", ssim=0.9):
    return {
        "visit": f"sub-{participant}_ses-{session}", "participant": participant,
        "target": target, "sources": sources, "method": method, "protocol": "masked3d",
        "psnr": psnr, "ssim": ssim, "mae": 100 / psnr, "nmae": 1 / psnr, "pearson": 0.5,
    }  # fmt: skip


def table(*rows):
    return pd.DataFrame(rows, columns=list(COLUMNS))


def cell(summary, metric="psnr", **keys):
    found = summary[summary["metric"] == metric]
    for column, value in keys.items():
        found = found[found[column] == value]
    assert len(found) == 1
    return found.iloc[0]


ROWS = table(
    row("01", "model", 30.0), row("01", "copy", 20.0), row("01", "linear", 25.0),
    row("02", "model", 34.0), row("02", "copy", 22.0), row("02", "linear", 26.0),
    row("03", "model", 35.0), row("03", "copy", 29.0), row("03", "linear", 25.0),
)  # fmt: skip


def test_the_mean_and_the_paired_gain_over_the_best_baseline():
    summary = summarise(ROWS, resamples=500, seed=1)
    model = cell(summary, method="model")
    assert model["mean"] == pytest.approx(33.0)
    assert model["participants"] == 3
    assert model["versus"] == "linear"
    assert model["difference"] == pytest.approx(np.mean([5, 8, 10]))
    assert model["difference_low"] >= 5
    assert model["difference_high"] <= 10
    assert pd.isna(cell(summary, method="copy")["versus"])


def test_where_lower_is_better_the_lowest_baseline_is_the_best():
    model = cell(summarise(ROWS, resamples=100, seed=1), metric="nmae", method="model")
    assert model["versus"] == "linear"
    assert model["difference"] < 0


def test_visits_of_one_participant_weigh_as_one():
    rows = table(
        row("01", "model", 10.0), row("01", "model", 20.0, session="B"), row("02", "model", 35.0)
    )
    found = cell(summarise(rows, resamples=100, seed=1), method="model")
    assert found["mean"] == pytest.approx((15 + 35) / 2)
    assert found["participants"] == 2


def test_one_participant_has_no_interval():
    rows = table(row("01", "model", 30.0), row("01", "copy", 20.0))
    found = cell(summarise(rows, resamples=100, seed=1), method="model")
    assert found["difference"] == 10
    assert np.isnan([found["low"], found["high"], found["difference_low"]]).all()
    text = format_table(summarise(rows, resamples=100, seed=1))
    assert "30.0 [n/a]" in text
    assert "30.0 [n/a]*" not in text
    assert "1 (few)" in text


@pytest.mark.parametrize(
    ("gains", "certain"), [((5, 6, 4, 5, 6), True), ((5, -6, 4, -5, 1), False)]
)
def test_the_best_is_marked_only_where_the_interval_of_the_difference_leaves_0(gains, certain):
    people = [f"{n:02d}" for n in range(5)]
    rows = table(
        *(row(p, "model", 20.0 + g) for p, g in zip(people, gains, strict=True)),
        *(row(p, "copy", 20.0) for p in people),
    )
    text = format_table(summarise(rows, resamples=200, seed=1))
    assert ("]*" in text) == certain
    assert "(few)" not in text.split("mean [95")[0]


def test_the_interval_is_scipys_percentile_bootstrap():
    values = np.random.default_rng(0).normal(30, 2, size=25)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", random_state=1
    ).confidence_interval
    ours = interval(values, resamples=20000, seed=2)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03)
    assert interval(values, resamples=200, seed=4) == interval(values, resamples=200, seed=4)
    assert interval(values, resamples=200, seed=4) != interval(values, resamples=200, seed=5)


def test_targets_and_sources_are_pooled_but_not_the_unit_of_mae():
    rows = table(
        row("01", "model", 30.0, sources="T1w"), row("01", "model", 34.0, sources="T1w+PDw"),
        row("01", "model", 20.0, target="T1w", sources="T2w"),
    )  # fmt: skip
    summary = summarise(rows, resamples=100, seed=1)
    assert cell(summary, target="T2w", sources="all")["mean"] == pytest.approx(32)
    assert cell(summary, target="all", sources="all")["mean"] == pytest.approx(28)
    pooled = summary[(summary["target"] == "all") & (summary["metric"] == "mae")]
    assert pooled.empty
    rows["rmse"] = 3.0
    again = summarise(rows, resamples=100, seed=1)
    assert again[(again["target"] == "all") & (again["metric"] == "rmse")].empty
    assert cell(again, metric="rmse", target="T2w", sources="all")["mean"] == 3


def test_a_score_that_is_none_takes_its_own_mean_with_it_and_no_other():
    rows = table(*ROWS.to_dict("records"))
    rows.loc[(rows["participant"] == "01") & (rows["method"] == "model"), "psnr"] = np.nan
    summary = summarise(rows, resamples=100, seed=1)
    before = summarise(table(*ROWS.to_dict("records")), resamples=100, seed=1)
    assert np.isnan(cell(summary, method="model")["mean"])
    assert np.isnan(cell(summary, method="model")["difference"])
    for method in {*rows["method"]} - {"model"}:
        mean = cell(summary, method=method)["mean"]
        assert mean == pytest.approx(cell(before, method=method)["mean"])
    assert cell(summary, metric="ssim", method="model")["participants"] == 3


def test_rows_survive_their_file(tmp_path):
    rows = table(*ROWS.to_dict("records"), row("NA", "mean", 1 / 3, sources="T1w+PDw"))
    rows.loc[0, "ssim"] = np.nan
    rows["verdict"] = ["review", *[None] * (len(rows) - 1)]
    path = write_rows(rows, tmp_path / "deep" / "metrics.tsv")
    assert "n/a" in path.read_text()
    pd.testing.assert_frame_equal(read_rows(path), rows, check_dtype=False)
    assert read_rows(path)["verdict"].iloc[0] == "review"
    summary = summarise(rows, resamples=100, seed=1)
    back = read_rows(write_rows(summary, tmp_path / "summary.tsv"))
    pd.testing.assert_frame_equal(back, summary, check_dtype=False)


def test_a_file_that_is_no_table_of_scores_is_refused(tmp_path):
    with pytest.raises(UsageError, match="not a readable table"):
        read_rows(tmp_path / "absent.tsv")
    (tmp_path / "other.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(UsageError, match="lacks the columns"):
        read_rows(tmp_path / "other.tsv")


def test_the_terminal_shows_the_model_beside_its_baselines():
    text = format_table(summarise(ROWS, resamples=5000, seed=1))
    header = next(line for line in text.splitlines() if line.startswith("target"))
    assert [header.index(m) for m in ("model", "copy", "linear")] == sorted(
        header.index(m) for m in ("model", "copy", "linear")
    )
    line = next(line for line in text.splitlines() if line.startswith("T2w"))
    assert "33.0 [" in line
    assert "]*" in line
    assert line.rstrip().endswith("linear")
    assert "+7.7 [+5.0, +10.0]" in line


def test_metrics_that_a_protocol_does_not_define_are_left_out():
    ct = [
        row(who, method, psnr, target="ct") | {"protocol": "synthrad", "nmae": np.nan,
        "pearson": np.nan, "ms_ssim": 0.97, "rmse": 200.0}
        for who, method, psnr in (("01", "model", 30), ("02", "model", 31), ("01", "mean", 25))
    ]  # fmt: skip
    rows = pd.concat([ROWS, table(*ct)], ignore_index=True)
    summary = summarise(rows, resamples=100, seed=1)
    defined = summary.groupby("protocol")["metric"].agg(set).to_dict()
    assert defined == {
        "masked3d": {"psnr", "ssim", "mae", "nmae", "pearson"},
        "synthrad": {"psnr", "ssim", "ms_ssim", "mae", "rmse"},
    }
    text = format_table(summary)
    assert "Mean absolute error, in the image's unit (lower is better), synthrad" in text
    assert "Mean absolute error, in the image's unit (lower is better), masked3d" not in text
    assert "MS-SSIM (higher is better), synthrad" in text


def test_a_table_from_before_a_metric_was_known_is_summarised():
    old = ROWS.drop(columns=["ms_ssim", "rmse", "nmi"])
    assert cell(summarise(old, resamples=100, seed=1), method="model")["mean"] == 33


def test_nothing_scored_says_so():
    assert "no visit" in format_table(summarise(table(), resamples=100, seed=1))
