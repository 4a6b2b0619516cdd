"""A fit in which nobody validates: the weights of the last step, and no score anywhere."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pandas as pd
import pytest
from learn_toys import make_visit, minus_error, toy_recipe, toy_split

from bids_synth.core.split import Split
from bids_synth.errors import UsageError
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.fit.tune import tune
from bids_synth.learn.model.model import Model
from bids_synth.recipe.recipe import validate_recipe
from bids_synth.recipe.sections.fit import FitPart
from bids_synth.report.figures.group import draw_curves

FEW = {"steps": 6, "steps_per_epoch": 2}


def fit(folder: Path, split: Split, score=minus_error) -> Model:
    people = [make_visit(folder / "prepared", p, shape=(20, 20, 20)) for p in "abe"]
    return fit_model(
        toy_recipe(**FEW), people, split, score, folder=folder / "m", work=folder / "w", seed=1,
        device="cpu", quiet=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def unjudged(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return fit(tmp_path_factory.mktemp("unjudged"), toy_split("ab", validation=""))


def test_the_weights_are_those_of_the_last_step(unjudged: Model, tmp_path: Path) -> None:
    """Oracle: a fit on the same images whose judge likes whatever comes later better."""
    later = count()
    judged = fit(tmp_path, toy_split("ab", validation="e"), lambda *_: float(next(later)))
    (own,), (other,) = unjudged.card.weights, judged.card.weights
    assert own.sha256 == other.sha256
    assert (own.epoch, own.score) == (2, None)
    assert other.score is not None


def test_no_score_is_shown_and_none_is_lacking(unjudged: Model) -> None:
    card = json.loads((unjudged.folder / "model.json").read_text())
    assert card["weights"][0]["score"] is None
    assert card["validation"] == []
    curve = pd.read_csv(unjudged.folder / "training.tsv", sep="\t", na_values=["n/a"])
    assert curve["validation_score"].isna().all()
    assert curve["loss"].notna().all()
    drawn = draw_curves(curve)
    assert "loss" in drawn
    assert "validation score" not in drawn


def test_a_search_needs_somebody_who_judges(tmp_path: Path) -> None:
    space = {"fit.learning_rate": {"low": 1e-4, "high": 1e-2}}
    data = toy_recipe(**FEW).model_dump(mode="json") | {"tune": space}
    people = [make_visit(tmp_path / "prepared", p, shape=(20, 20, 20)) for p in "ab"]
    with pytest.raises(UsageError, match="nobody of fold 0 validates"):
        tune(
            validate_recipe(data, origin="toy"), people, toy_split("ab", validation="", test=""),
            minus_error, trials=1, work=tmp_path, seed=1, device="cpu",
        )  # fmt: skip


def test_a_share_of_0_is_allowed() -> None:
    assert FitPart(validation=0.0).validation == 0
