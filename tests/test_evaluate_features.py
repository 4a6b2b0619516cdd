"""FID and perceptual distance with weights made here: values, summary and early faults."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from bids_synth.errors import ModelError
from bids_synth.evaluate.score import compare_features, evaluation_features
from bids_synth.learn.features.extractor import axial_slices
from bids_synth.measure.features import Seen, frechet_distance
from bids_synth.measure.protocols.masked3d import real_scale
from bids_synth.measure.table import summarise, with_frechet
from bids_synth.recipe.recipe import load_recipe
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume

GRID = Grid((16, 14, 12), np.eye(4))
MASK = Volume(np.ones(GRID.shape, np.uint8), GRID)


def recipe(path):
    return load_recipe("impute", {"evaluation.features_from": str(path)})


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    weights = {"layers.0.weight": torch.randn(4, 1, 3, 3), "layers.0.bias": torch.zeros(4)}
    told = {"format": 1, "layers": [{"kernel": 3, "kept": True}]}
    save_file(weights, tmp_path / "w.safetensors", metadata={"features": json.dumps(told)})
    return tmp_path / "w.safetensors"


def image(seed):
    return Volume(np.random.default_rng(seed).random(GRID.shape, dtype=np.float32), GRID)


def test_equal_images_are_at_0_and_noise_is_farther(path):
    features = evaluation_features(recipe(path))
    real = image(0)
    near = real.with_array(real.array + 0.05 * image(1).array)
    images = {"model": real, "linear": near, "mean": image(2)}
    distances, vectors = compare_features(features, real, images, MASK)
    assert distances["model"] == pytest.approx(0, abs=1e-9)
    assert 0 < distances["linear"] < distances["mean"]
    slices = axial_slices(near, MASK, real_scale(real.array[MASK.array > 0]))
    np.testing.assert_array_equal(vectors["linear"][1], features.vectors(slices))
    assert vectors["model"][0].shape == (12, 4)


def test_one_fid_a_target_and_method_over_all_slices(path):
    rng = np.random.default_rng(0)
    one, other, third, last = (rng.random((9, 3)) for _ in range(4))
    seen = [
        Seen("01", "T2w", "T1w", {"model": (one, other), "mean": (one, one)}),
        Seen("02", "T2w", "T1w+PDw", {"model": (third, last), "mean": (third, third)}),
    ]
    keys = {"visit": "sub-01", "participant": "01", "target": "T2w", "sources": "T1w"}
    rows = pd.DataFrame([{**keys, "method": "model", "protocol": "masked3d", "psnr": 20.0}])
    summary = with_frechet(summarise(rows, resamples=100, seed=1), seen)
    fid = summary[summary["metric"] == "fid"].set_index("method")
    wanted = frechet_distance(np.concatenate([one, third]), np.concatenate([other, last]))
    assert fid.loc["model", "mean"] == pytest.approx(wanted)
    assert fid.loc["mean", "mean"] == pytest.approx(0, abs=1e-6)
    assert fid["participants"].tolist() == [2, 2]
    assert fid["sources"].tolist() == ["all", "all"]
    assert fid[["low", "high"]].isna().all(axis=None)


def test_faults_are_told(path, tmp_path):
    assert evaluation_features(load_recipe("impute")) is None
    with pytest.raises(ModelError, match="no such file"):
        evaluation_features(recipe(tmp_path / "absent.safetensors"))
    (tmp_path / "bad.safetensors").write_text("no weights")
    with pytest.raises(ModelError, match="is not a safetensors file"):
        evaluation_features(recipe(tmp_path / "bad.safetensors"))


def test_features_are_part_of_the_recipe(path):
    assert recipe(path).digest() != load_recipe("impute").digest()
    assert "w.safetensors" in recipe(path).to_toml()
