"""What is no number never wins: not in a score, a table, a fit, a search or a file."""

from __future__ import annotations

import json
from math import isfinite, isnan, nan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learn_toys import make_visit, minus_error, toy_recipe, toy_split

from bids_synth.errors import FitError, VisitError
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.fit.unpaired_score import SHARES, proxy_score
from bids_synth.learn.objectives.regression import Regression
from bids_synth.measure import features, metrics, multiscale
from bids_synth.measure.protocol import PROTOCOLS, prepared_score
from bids_synth.measure.table import summarise, write_rows
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume, json_text, write_volume

PEOPLE = "abce"
BAD = st.sampled_from([np.nan, np.inf, -np.inf])
SIDE = 9
RNG = np.random.default_rng(0)
REAL = RNG.normal(100, 20, (SIDE, SIDE, SIDE)).astype(np.float32)
MASK = np.ones(REAL.shape, np.uint8)
MASK[0] = 0
GRID = Grid(REAL.shape, np.eye(4))
METRICS = {
    "mae": metrics.mae,
    "rmse": metrics.rmse,
    "psnr": lambda *a: metrics.psnr(*a, data_range=1.0),
    "ssim": lambda *a: metrics.ssim(*a, data_range=1.0),
    "pearson": metrics.pearson,
    "nmi": metrics.mutual_information,
    "ms_ssim": lambda *a: multiscale.ms_ssim(*a, data_range=1.0),
    "prepared": prepared_score,
}


@settings(max_examples=25, deadline=None)
@given(bad=BAD, place=st.tuples(st.integers(1, 8), *[st.integers(0, 8)] * 2), real=st.booleans())
def test_one_voxel_that_is_no_number_makes_every_score_none(bad, place, real):
    spoiled = REAL + 1
    spoiled[place] = bad
    pair = (spoiled, REAL) if real else (REAL, spoiled)
    for name, metric in METRICS.items():
        assert isnan(metric(*pair, MASK)), name
    mask = Volume(MASK, GRID)
    for name, protocol in PROTOCOLS.items():
        volumes = (Volume(image, GRID, "HU") for image in pair)
        scores = protocol(*volumes, mask)
        assert all(isnan(value) for value in scores.values()), name


@settings(max_examples=10, deadline=None)
@given(bad=BAD)
def test_what_lies_outside_the_mask_spoils_nothing(bad):
    spoiled = REAL + 1
    spoiled[0, 0, 0] = bad
    for name, metric in METRICS.items():
        assert metric(REAL, spoiled, MASK) == metric(REAL, REAL + 1, MASK), name


@given(bad=BAD)
def test_distances_of_features_are_none_as_well(bad):
    rows = RNG.normal(size=(6, 3))
    spoiled = rows.copy()
    spoiled[2, 1] = bad
    assert isnan(features.frechet_distance(rows, spoiled))
    assert isnan(features.frechet_distance(spoiled, rows))
    with np.errstate(invalid="ignore"):
        assert isnan(features.perceptual_distance([rows], [spoiled]))


def test_an_answer_without_error_has_a_finite_score_that_no_other_reaches():
    best = prepared_score(REAL, REAL, MASK)
    assert isfinite(best)
    assert best > prepared_score(REAL, np.nextafter(REAL, np.float32(1e9)), MASK)


def table(model: float) -> pd.DataFrame:
    rows = []
    for person, score in (("1", 20.0), ("2", model)):
        for method in ("model", "copy"):
            value = score if method == "model" else 10.0
            keys = {"visit": f"sub-{person}", "participant": person, "target": "T2w"}
            rows.append(keys | {"sources": "T1w", "method": method, "psnr": value})
    return pd.DataFrame(rows).assign(protocol="masked3d")


def test_a_mean_over_participants_does_not_leave_out_the_one_that_failed():
    found = summarise(table(nan), resamples=100, seed=1).set_index("method")
    assert isnan(found.loc["model", "mean"])
    assert isnan(found.loc["model", "difference"])
    assert found.loc["copy", "mean"] == 10.0
    assert summarise(table(22.0), resamples=100, seed=1)["mean"].max() == 21.0


def test_no_image_with_a_voxel_that_is_no_number_is_written(tmp_path: Path):
    spoiled = REAL.copy()
    spoiled[1, 2, 3], spoiled[3, 2, 1] = np.nan, np.inf
    with pytest.raises(VisitError, match="2 of 729 voxels"):
        write_volume(Volume(spoiled, GRID), tmp_path / "image.nii.gz")
    assert not list(tmp_path.iterdir())


NUMBERS = st.floats() | st.integers() | st.text() | st.booleans() | st.none()
TREES = st.recursive(NUMBERS, lambda t: st.lists(t) | st.dictionaries(st.text(), t))


@given(TREES)
def test_json_is_what_every_reader_accepts(tree):
    def refuse(name: str) -> None:
        pytest.fail(f"{name} is no JSON")

    text = json_text(tree)
    assert json.loads(text, parse_constant=refuse) == json.loads(
        json.dumps(tree), parse_constant=lambda _: None
    )


def test_no_code_writes_json_without_saying_what_becomes_of_nan():
    """`json.dumps` stands only where digests or messages are made, or says `allow_nan=False`."""
    import bids_synth

    root = Path(bids_synth.__file__).parent
    writes = []
    for path in root.rglob("*.py"):
        lines = path.read_text("utf-8").splitlines()
        writes += [f"{path}: {x}" for x in lines if "write" in x and "json.dump" in x]
    assert [line for line in writes if "allow_nan=False" not in line] == []


def fit(folder: Path, score=minus_error, **fit_options):
    people = [make_visit(folder / "prepared", p, shape=(20, 20, 20)) for p in PEOPLE]
    return fit_model(
        toy_recipe(**fit_options),
        people,
        toy_split(training="abc"),
        score,
        folder=folder / "models" / "toy",
        work=folder / "work",
        seed=5,
        device="cpu",
        quiet=True,
    )


class Scores:
    """A score that is what it is told to be, look by look, on the toys' looks of several tasks."""

    def __init__(self, *values: float) -> None:
        self.values, self.calls, self.tasks = values, 0, 0

    def __call__(self, *_: object) -> float:
        value = self.values[min(self.calls // 3, len(self.values) - 1)]
        self.calls += 1
        return value


@pytest.mark.parametrize("bad", [nan, np.inf])
def test_a_score_that_is_no_number_is_never_selected(tmp_path: Path, bad: float):
    """Looks: the start and three epochs, the first two of which have no score."""
    model = fit(tmp_path, Scores(bad, bad, 7.0, bad))
    (weights,) = model.card.weights
    assert (weights.score, weights.epoch) == (7.0, 1)
    curve = pd.read_csv(model.folder / "training.tsv", sep="\t", na_values=["n/a"])
    assert curve["validation_score"].isna().tolist() == [True, False, True]


def test_a_fit_that_never_has_a_score_ends_with_what_to_change(tmp_path: Path):
    with pytest.raises(FitError, match=r"toy|impute") as raised:
        fit(tmp_path, Scores(nan))
    said = str(raised.value)
    for word in ("fold 0", "member 0", "fit.learning_rate"):
        assert word in said
    assert not [p for p in tmp_path.rglob("*.safetensors") if not p.name.startswith("start")]
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("spoil", ["loss", "gradient"])
def test_a_fit_that_runs_away_is_stopped_at_the_step_and_its_state_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str
):
    undisturbed = fit(tmp_path / "plain")
    losses = Regression.losses

    def spoiled(self, batch):
        (loss,) = losses(self, batch)
        if self.steps_done == 6:
            if spoil == "loss":
                loss = loss * float("nan")
            else:
                next(self.network.parameters()).register_hook(lambda g: g * float("inf"))
        yield loss

    with monkeypatch.context() as patch:
        patch.setattr(Regression, "losses", spoiled)
        with pytest.raises(FitError) as raised:
            fit(tmp_path / "spoiled")
    said = str(raised.value)
    for word in ("recipe impute", "fold 0", "member 0", "step 6", spoil, "fit.learning_rate"):
        assert word in said
    assert "precision" not in said or "32" in said
    (state,) = tmp_path.glob("spoiled/work/fit/*/fold-0_member-0/state.ckpt")
    kept = torch.load(state, weights_only=True)
    assert kept["steps_done"] == 4
    assert all(bool(torch.isfinite(t).all()) for t in kept["weights"].values())
    resumed = fit(tmp_path / "spoiled")
    assert [w.sha256 for w in resumed.card.weights] == [w.sha256 for w in undisturbed.card.weights]


def test_all_that_a_fit_writes_is_a_number_or_says_that_it_is_none(tmp_path: Path):
    model = fit(tmp_path)

    def refuse(name: str) -> None:
        pytest.fail(f"{name} is no JSON")

    for path in [*model.folder.rglob("*.json"), *tmp_path.glob("work/**/*.json")]:
        json.loads(path.read_text(), parse_constant=refuse)
    text = (model.folder / "training.tsv").read_text().lower()
    assert "nan" not in text
    assert "inf" not in text


def test_the_score_without_pairs_is_none_as_well():
    made = REAL.copy()
    made[4, 4, 4] = np.nan
    inside = MASK > 0
    wanted = np.quantile(REAL[inside], SHARES)
    with np.errstate(invalid="ignore"):
        assert not isfinite(proxy_score(REAL, made, inside, wanted))
    assert isfinite(proxy_score(REAL, REAL, inside, wanted))


def test_tables_say_na(tmp_path: Path):
    path = write_rows(summarise(table(nan), resamples=100, seed=1), tmp_path / "summary.tsv")
    assert "nan" not in path.read_text().lower().replace("n/a", "")
