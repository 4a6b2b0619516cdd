"""What a fit measures on people that it has not learned from, in its card and in its images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from learn_toys import images_of, make_visit, minus_error, toy_recipe, toy_split

from bids_synth.core.split import Fold, Split
from bids_synth.core.synthetic import Synthetic, Verdict
from bids_synth.evaluate.score import score_withheld
from bids_synth.evaluate.trust import evidence as module
from bids_synth.evaluate.trust.evidence import held_out_scores, with_evidence, with_scores
from bids_synth.evaluate.trust.intervals import held_out_errors, with_interval
from bids_synth.evaluate.trust.judged import held_out_check, judged, with_scores_of
from bids_synth.evaluate.trust.predicted import SourcePredictor
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.model.evidence import HeldOut, held_out_of, interval_of
from bids_synth.learn.model.model import load_model
from bids_synth.learn.synthesize import load_synthesizer
from bids_synth.measure.table import summarise

PEOPLE = "abcdefz"
SHAPE = (24, 26, 22)
SPLIT = toy_split(training="abc", validation="def")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    return [make_visit(folder, p, shape=SHAPE, images=mirrored(p)) for p in PEOPLE]


def mirrored(label):
    """Images of a head whose halves are alike, as those of people are."""
    images = images_of(np.random.default_rng(ord(label)), SHAPE)
    return {m: np.concatenate([a[:12], a[:12][::-1]]) for m, a in images.items()}


def fitted(prepared, folder, split=SPLIT, **fit):
    recipe = toy_recipe(steps=4, steps_per_epoch=2, **fit)
    return fit_model(
        recipe, prepared, split, minus_error, folder=folder / "models" / "toy",
        work=folder / "work", seed=1, device="cpu", quiet=True,
    )  # fmt: skip


def measured(model, prepared, split=SPLIT):
    return with_evidence(model, prepared, split, lambda v, _: v, device="cpu", seed=1)


@pytest.fixture(scope="module")
def model(prepared, tmp_path_factory):
    return measured(fitted(prepared, tmp_path_factory.mktemp("fit")), prepared)


def person(prepared, label):
    return next(p for p in prepared if p.visit.participant == label)


def made(model, visit, target="T2w", sources=("T1w", "PDw")):
    synthesizer = load_synthesizer(model, "cpu")
    image = synthesizer.synthesize(visit, target, sources=sources)
    return with_interval(image, visit, model.card.intervals)


def test_every_target_from_every_set_of_sources_has_an_interval(model):
    found = {(e.target, *e.sources) for e in model.card.intervals}
    names = {"T1w", "T2w", "PDw"}
    expected = {(t, s) for t in names for s in names - {t}}
    expected |= {(t, *(m for m in ("T1w", "T2w", "PDw") if m != t)) for t in names}
    assert found == expected
    assert all(e.participants == 3 and len(e.coverage) == 3 for e in model.card.intervals)
    assert model.card.alarm.participants == 6


def test_it_is_in_the_folder_and_is_not_measured_again(model, prepared, monkeypatch):
    again = load_model(model.folder)
    assert again.card == model.card
    monkeypatch.setattr(module, "held_out_errors", None)
    assert measured(again, prepared) is again


def test_the_interval_holds_about_what_it_says_of_those_that_calibrated_it(model, prepared):
    """Unit, scale and mask are right from end to end: by the program's own scores."""
    shares = []
    for label in "def":
        visit = person(prepared, label)
        image = made(model, visit)
        rows = score_withheld(image, model, None, visit).rows
        shares.append(float(rows["coverage"].iloc[0]))
        assert rows["half_width"].iloc[0] > 0
    assert np.mean(shares) == pytest.approx(0.91, abs=0.03)


def test_outside_the_mask_there_is_no_interval_and_inside_there_is(model, prepared):
    visit = person(prepared, "z")
    half = made(model, visit).interval.half_width
    inside = visit.mask_image.array > 0
    assert (half.array[~inside] == 0).all()
    assert (half.array[inside] > 0).all()
    assert half.unit == visit.image("T2w").unit


def test_an_image_in_another_unit_has_its_interval_in_it(model, prepared):
    image = made(model, person(prepared, "z"))
    other = image.in_unit(image.image.with_array(3 * image.image.array), 3.0)
    assert other.interval.half_width.array == pytest.approx(
        3 * image.interval.half_width.array, rel=1e-5
    )
    assert other.scale.invert(np.ones(1)) == pytest.approx(3 * image.scale.invert(np.ones(1)))


def test_one_network_has_an_interval_too(model, prepared):
    assert len(model.card.weights) == 1
    image = made(model, person(prepared, "z"))
    assert image.spread is None
    assert image.interval is not None
    assert image.uncertainty is image.interval.half_width


def test_test_participants_are_never_opened(prepared, tmp_path):
    """The card is the same whether those of the test are there or not."""
    without = [p for p in prepared if p.visit.participant != "z"]
    one = measured(fitted(prepared, tmp_path / "one"), prepared)
    missing = Path("missing")
    gone = [
        replace(p, images=dict.fromkeys(p.images, missing)) if p not in without else p
        for p in prepared
    ]
    other = measured(fitted(without, tmp_path / "other"), gone)
    assert one.card.intervals == other.card.intervals
    assert one.card.alarm == other.card.alarm


def test_of_a_fold_only_the_networks_that_did_not_learn_from_a_participant(prepared, tmp_path):
    folds = (Fold(frozenset("abcd"), frozenset("ef")), Fold(frozenset("abef"), frozenset("cd")))
    split = Split(frozenset("z"), folds)
    model = fitted(prepared, tmp_path, split)
    synthesizer = load_synthesizer(model, "cpu")
    seen = [p for p in prepared if p.visit.participant != "z"]
    calls = []

    def withheld(visit, task):
        calls.append((visit.visit.participant, task))
        return visit

    errors = list(held_out_errors(synthesizer, seen, split, withheld, seed=1))
    assert {e.participant for e in errors} == set("cdef")
    for wanted, fold in (("e", 0), ("c", 1)):
        networks = tuple(
            n for n, w in zip(synthesizer.networks, model.card.weights, strict=True)
            if w.fold == fold
        )  # fmt: skip
        own = replace(synthesizer, networks=networks, last={})
        visit = person(prepared, wanted)
        image = own.synthesize(visit, "T2w", sources=("T1w",))
        (one,) = (e for e in errors if (e.participant, e.scenario) == (wanted, ("T2w", ("T1w",))))
        answers = model.scales["T2w"].apply(image.image.array[visit.mask_image.array > 0])
        assert np.isin(one.figures["value"], answers.astype(np.float32)).mean() > 0.99


def test_without_validation_it_says_that_it_has_none(prepared, tmp_path, caplog):
    split = toy_split(training="abcdef", validation="")
    model = measured(fitted(prepared, tmp_path, split, validation=0.0), prepared, split)
    assert "no validation participant" in caplog.text
    assert model.card.intervals == []
    visit = person(prepared, "z")
    image = judged(made(model, visit), visit, model)
    assert image.interval is None
    assert image.verdict.level != "pass"
    assert any("No validation participant" in reason for reason in image.verdict.reasons)


def test_scores_go_into_the_card_and_come_out_of_it(model, prepared):
    rows = []
    for label in "def":
        visit = person(prepared, label)
        rows.append(score_withheld(made(model, visit), model, model.baselines(), visit).rows)
    summary = summarise(pd.concat(rows), resamples=100, seed=0)
    scored = with_scores(model, summary, pd.DataFrame())
    (score,) = scored.card.held_out
    wide = pd.concat(rows).pivot_table(index="participant", columns="method", values="psnr")
    best = wide.drop(columns="model").mean().idxmax()
    assert score.versus == best
    assert score.difference == pytest.approx((wide["model"] - wide[best]).mean())
    assert score.participants == 3
    assert load_model(model.folder).card.held_out == [score]
    assert held_out_of(scored.card.held_out, "T2w", ("PDw", "T1w")) == score
    assert held_out_of(scored.card.held_out, "T2w", ("T1w",)) is None
    with_scores(scored, summary.iloc[:0], pd.DataFrame())
    assert held_out_scores(summary.iloc[:0], "masked3d", pd.DataFrame()) == []


def score_of(difference, low, high, participants):
    return HeldOut(
        target="T2w", sources=["T1w"], protocol="masked3d", metric="psnr", mean=20.0,
        participants=participants, versus="linear", difference=difference, low=low, high=high,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (None, "Nobody has measured"),
        (
            score_of(-0.3, -0.5, -0.1, 3),
            "not better than a straight line (-0.3 [-0.5, -0.1] dB, n = 3)",
        ),
        (score_of(0.4, -0.1, 0.9, 8), "was not better than a straight line"),
        (score_of(0.4, 0.3, 0.5, 2), "Only two held-out people say"),
        (score_of(0.4, None, None, 1), "Only one held-out person says"),
        (score_of(0.4, 0.1, 0.6, 3), None),
    ],
)
def test_no_pass_without_held_out_scores_above_every_baseline(score, words):
    check, reason = held_out_check(score, "T2w", ("T1w",))
    assert check.level == ("pass" if words is None else "review")
    assert (words is None) == (not reason)
    if words is not None:
        assert words in reason


def test_the_verdict_of_a_run_knows_what_held_out_people_say(model, prepared):
    visit = person(prepared, "z")
    image = replace(made(model, visit), verdict=Verdict("pass"))
    card = model.card.model_copy(update={"held_out": []})
    assert with_scores_of(image, card).verdict.level == "review"
    good = score_of(1.0, 0.5, 1.5, 5).model_copy(
        update={"sources": ["T1w", "PDw"], "lesions": "Of 3 lesions 1 was kept"}
    )
    told = with_scores_of(image, card.model_copy(update={"held_out": [good]})).verdict
    assert told.level == "pass"
    assert {c.name for c in told.checks} == {"held_out", "lesions"}
    with pytest.raises(ValueError, match="no verdict"):
        with_scores_of(replace(image, verdict=None), card)


def test_the_interval_of_fewer_sources_serves_more_and_not_the_other_way_round(model):
    entries = [e for e in model.card.intervals if e.sources == ["T1w"]]
    assert interval_of(entries, "T2w", ("T1w", "PDw")).sources == ["T1w"]
    assert interval_of(entries, "T2w", ("PDw",)) is None
    both = interval_of(model.card.intervals, "T2w", ("T1w", "PDw"))
    assert len(both.sources) == 2


def test_sources_that_do_not_fit_one_another_are_less_well_predicted(model, prepared):
    visit, other = person(prepared, "d"), person(prepared, "e")
    predictor = SourcePredictor(load_synthesizer(model, "cpu"))
    own = predictor.of(visit, ("T1w", "T2w"))
    mixed = replace(visit, images={**visit.images, "T2w": other.images["T2w"]}, key="f" * 64)
    strange = predictor.of(mixed, ("T1w", "T2w"))
    assert set(own) == {"predicted_T1w", "predicted_T2w"}
    for name, (share, (mean, deviation)) in own.items():
        assert share > strange[name][0]
        assert 0 <= mean <= 1
        assert deviation >= 0
    assert predictor.of(visit, ("T1w",)) == {}


def test_nothing_is_known_of_an_image_without_a_scale(model, prepared):
    visit = person(prepared, "z")
    image = made(model, visit)
    bare = Synthetic("T2w", image.sources, image.image, None)
    assert with_interval(bare, visit, model.card.intervals) is bare
