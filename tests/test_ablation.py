"""The ablation study: what is withheld, what the tables say, what the page shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from learn_toys import make_visit, minus_error, prepare_toys, toy_recipe, toy_split

from bids_synth.core.settings import Settings
from bids_synth.core.visit import Prepared
from bids_synth.errors import RecipeError
from bids_synth.evaluate.ablation import ALL_SOURCES, withheld_sets
from bids_synth.learn.fit.fit import fit_model
from bids_synth.measure.table import read_rows, summarise
from bids_synth.pipeline.score import score_and_report
from bids_synth.recipe.recipe import load_recipe, validate_recipe
from bids_synth.recipe.tasks import Task
from bids_synth.report.figures.ablation import AblationShown, agreement_lines, draw_agreement
from bids_synth.spatial.volume import read_mask, read_volume


def ablating(*sets, recipe=None):
    data = (recipe or toy_recipe(steps=2, steps_per_epoch=2)).model_dump(mode="json")
    data["evaluation"] |= {"ablate": [list(s) for s in sets], "bootstrap": 100}
    return validate_recipe(data, origin="toy")


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> tuple[Path, list[Prepared]]:
    place = tmp_path_factory.mktemp("ablation")
    people = {p: make_visit(place / "p", p, shape=(20, 20, 20)) for p in "abexyz"}
    split = toy_split(training="ab", test="xyz")
    where = {"folder": place / "models" / "toy", "work": place / "work"}
    model = fit_model(
        ablating(["PDw"], ["T1w", "PDw"]), list(people.values()), split, minus_error,
        **where, seed=1, device="cpu", quiet=True,
    )  # fmt: skip
    held_out = [people[p] for p in "xyz"]
    settings = Settings(
        dataset=place, output=place / "out", level="group", work=place / "work", device="cpu"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bids_synth.pipeline.visit.withheld.prepare_reduced", prepare_toys)
        score_and_report(model, held_out, settings)
    return place, held_out


def test_sets_are_withheld_where_enough_is_left_and_the_target_is_not_among_them():
    recipe = ablating(["T1w"], ["PDw"])
    for task, sets in (
        (Task("T2w", ("T1w", "PDw"), real=True), {"T1w": ("PDw",), "PDw": ("T1w",)}),
        (Task("T1w", ("T2w", "PDw"), real=True), {"PDw": ("T2w",)}),
        (Task("T2w", ("PDw",), real=True), {}),
    ):
        left = {label: task.sources for label, task in withheld_sets(recipe, task)}
        assert left == {f"without {gone}": sources for gone, sources in sets.items()}


def test_the_table_holds_every_visit_with_and_without(scored):
    place, held_out = scored
    table = read_rows(place / "models" / "toy" / "ablation.tsv")
    assert set(table["method"]) == {"model"}
    t2 = table[table["target"] == "T2w"]
    assert sorted(t2["withheld"].unique()) == [ALL_SOURCES, "without PDw"]
    assert t2.groupby("withheld")["visit"].nunique().tolist() == [3, 3]
    assert set(t2.loc[t2["withheld"] == "without PDw", "sources"]) == {"T1w"}
    whole = read_rows(place / "models" / "toy" / "metrics.tsv").query("method == 'model'")
    merged = t2[t2["withheld"] == ALL_SOURCES].merge(whole, on=["visit", "target", "sources"])
    assert merged["psnr_x"].tolist() == merged["psnr_y"].tolist()
    assert len(merged) == 3
    visit = held_out[0]
    inside = read_mask(visit.mask).array > 0
    real = read_volume(visit.images["T2w"]).array[inside].mean()
    assert t2.loc[t2["visit"] == visit.label, "real"].tolist() == pytest.approx([real] * 2)
    other = t2[t2["withheld"] == "without PDw"]["psnr"].to_numpy()
    assert not np.allclose(other, t2[t2["withheld"] == ALL_SOURCES]["psnr"])


def test_the_page_shows_the_study(scored):
    text = (scored[0] / "out" / "group.html").read_text()
    part = text[text.index('<section id="ablation"') :]
    part = part[: part.index("</section>")]
    assert "without PDw" in part
    assert "95 % limits" in part
    assert part.count("data:image/svg+xml") == 2 * 2, (
        "T1w and T2w lose PDw; PDw has nothing to lose"
    )


def test_numbers_and_figure_tell_a_bias():
    rng = np.random.default_rng(0)
    real = rng.uniform(100, 140, 8)
    points = pd.DataFrame(
        {"target": "cmro2", "sources": "all sources", "participant": range(8), "real": real,
         "synthetic": real + 10, "mean": real + 5, "difference": 10.0}
    )  # fmt: skip
    numbers = pd.DataFrame(
        [{"target": "cmro2", "sources": "all sources", "participants": 8, "real": 120.0,
          "synthetic": 130.0, "bias": 10.0, "percent_bias": 8.33, "low": -2.5, "high": 22.5,
          "icc21": 0.7, "pearson": float("nan")}]
    )  # fmt: skip
    shown = AblationShown(points, points, numbers, points, {"cmro2": "umol/100g/min"})
    (line,) = agreement_lines(shown, "cmro2")
    assert line == [
        *("all sources", "8", "120", "130", "10", "8.33"),
        *("\N{MINUS SIGN}2.5 to 22.5", "0.7", "n/a"),
    ]
    drawn = draw_agreement(shown, "cmro2")
    for words in (">10<", ">22.5<", "umol/100g/min", "all sources"):
        assert words in drawn


@pytest.mark.parametrize("sets", [["FLAIR"], ["T1w", "T2w", "PDw"], []])
def test_sets_that_are_no_sources_or_leave_too_few_are_refused(sets):
    with pytest.raises(RecipeError, match=r"evaluation\.ablate"):
        ablating(sets)


def test_a_recipe_without_a_source_forgets_its_ablation():
    recipe = load_recipe("cmro2").limited_to(["T1w", "cbf", "T2map", "T2starmap", "cmro2"])
    assert recipe.evaluation.ablate == (("cbf",),)


def test_a_baseline_of_some_rows_is_not_pooled_over_fewer():
    key = {"visit": "v", "participant": "p", "target": "cmro2", "protocol": "masked3d"}
    rows = [
        {**key, "sources": s, "method": m, "psnr": v}
        for s, m, v in [
            ("a+b", "model", 30.0), ("a+b", "copy", 10.0), ("a+b", "closed-form", 40.0),
            ("a", "model", 20.0), ("a", "copy", 8.0),
        ]
    ]  # fmt: skip
    summary = summarise(pd.DataFrame(rows), resamples=100, seed=0)
    pooled = summary[summary["sources"] == "all"]
    assert set(pooled["method"]) == {"model", "copy"}
    assert pooled.loc[pooled["method"] == "model", "versus"].tolist() == ["copy"]
    whole = summary[(summary["sources"] == "a+b") & (summary["method"] == "model")]
    assert whole["versus"].tolist() == ["closed-form"]
