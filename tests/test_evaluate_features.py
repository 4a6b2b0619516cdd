"""FID and perceptual distance with weights made here: values, summary and early faults."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from feature_files import medicalnet_file, vgg_file

from bids_synth.errors import ModelError, VisitError
from bids_synth.evaluate.score import compare_features, evaluation_features
from bids_synth.learn.features.supplied import views_of
from bids_synth.measure.features import Seen, frechet_distance, frechet_rows, perceptual_distance
from bids_synth.measure.protocols.masked3d import real_scale
from bids_synth.measure.table import summarise, with_frechet
from bids_synth.recipe.recipe import load_recipe
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume

GRID = Grid((16, 18, 17), np.eye(4))
MASK = Volume(np.ones(GRID.shape, np.uint8), GRID)


def recipe(path):
    return load_recipe("impute", {"evaluation.features_from": str(path)})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return vgg_file(tmp_path_factory.mktemp("features") / "w.safetensors")


def image(seed):
    return Volume(np.random.default_rng(seed).random(GRID.shape, dtype=np.float32), GRID)


def compared(features):
    """An image, one near it, distances and vectors; those of itself are 0, of noise farther."""
    real = image(0)
    near = real.with_array(real.array + 0.05 * image(1).array)
    images = {"model": real, "linear": near, "mean": image(2)}
    distances, vectors = compare_features(features, real, images, MASK)
    assert distances["model"] == pytest.approx(0, abs=1e-9)
    assert 0 < distances["linear"] < distances["mean"]
    return real, near, distances, vectors


def test_equal_images_are_at_0_and_noise_is_farther(path):
    features = evaluation_features(recipe(path))
    real, near, distances, vectors = compared(features)
    scale = real_scale(real.array[MASK.array > 0])
    one, other = (
        [features.maps(s) for s in views_of(v, MASK, scale, volumes=False)] for v in (near, real)
    )
    for vector, maps in zip(vectors["linear"][1], one, strict=True):
        np.testing.assert_allclose(vector, maps[-1].mean(axis=(1, 2)), rtol=1e-5)
    each = [perceptual_distance(a, b) for a, b in zip(one, other, strict=True)]
    assert distances["linear"] == pytest.approx(np.mean(each))
    assert vectors["model"][0].shape == (17, 512)


def test_medicalnet_compares_whole_volumes(tmp_path):
    features = evaluation_features(recipe(medicalnet_file(tmp_path / "resnet_10.pth")))
    real, _, _, vectors = compared(features)
    scaled = np.clip(real_scale(real.array).apply(real.array), 0, 1)
    standard = (scaled - scaled.mean()) / scaled.std()
    wanted = features.maps(standard.astype(np.float32))[-1].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(vectors["model"][0], [wanted], atol=1e-4)
    seen = [Seen(p, "T2w", "T1w", vectors) for p in ("01", "02")]
    assert all(np.isnan(row["mean"]) for row in frechet_rows(seen[:1], "masked3d"))
    fid = {row["method"]: row["mean"] for row in frechet_rows(seen, "masked3d")}
    assert fid["model"] == pytest.approx(0, abs=1e-4)
    assert 0 < fid["linear"] < fid["mean"]


@pytest.mark.parametrize("name", ["slices", "volumes"])
def test_masks_that_are_too_small_for_the_network_cost_the_visit(name, path, tmp_path):
    file = path if name == "slices" else medicalnet_file(tmp_path / "resnet_10.pth")
    small = MASK.array.copy()
    small[(slice(10, None) if name == "slices" else (..., slice(10, None)))] = 0
    with pytest.raises(VisitError, match=r"too few for the network .* it needs 16 a side"):
        compare_features(
            evaluation_features(recipe(file)), image(0), {"model": image(1)}, Volume(small, GRID)
        )


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
