"""Feature networks from files: their arithmetic against scipy, and every file that is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import correlate

from bids_synth.core.scale import Scale
from bids_synth.errors import ModelError
from bids_synth.learn.features.extractor import axial_slices, load_features
from bids_synth.measure.features import frechet_distance, perceptual_distance
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume

LAYERS = [
    {"kernel": 3, "kept": True, "pool": 2},
    {"kernel": 5, "stride": 2, "relu": False, "kept": True},
]
SHAPES = {
    "layers.0.weight": (4, 1, 3, 3), "layers.0.bias": (4,),
    "layers.1.weight": (6, 4, 5, 5), "layers.1.bias": (6,),
}  # fmt: skip


def tensors(**changes):
    torch.manual_seed(0)
    return {name: torch.randn(shape) for name, shape in (SHAPES | changes).items()}


def write(path, weights=None, **description):
    told = {"format": 1, "layers": LAYERS} | description
    save_file(weights or tensors(), path, metadata={"features": json.dumps(told)})
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "small.safetensors", offset=[0.4], gain=[0.5])


SLICES = np.random.default_rng(1).random((11, 12, 16), dtype=np.float32)


def by_hand(image, weights):
    """The two layers by scipy's correlation, zeros beyond the edges."""

    def layer(maps, number):
        weight = weights[f"layers.{number}.weight"].numpy().astype(float)
        bias = weights[f"layers.{number}.bias"].numpy().astype(float)
        return np.stack([
            b + sum(correlate(m, k, mode="constant") for m, k in zip(maps, kernel, strict=True))
            for kernel, b in zip(weight, bias, strict=True)
        ])  # fmt: skip

    first = np.maximum(layer([(image.astype(float) - 0.4) / 0.5], 0), 0)
    h, w = first.shape[1:]
    pooled = first.reshape(4, h // 2, 2, w // 2, 2).max(axis=(2, 4))
    return first, layer(pooled, 1)[:, ::2, ::2]


def test_maps_are_those_of_a_correlation_by_hand(path):
    found = load_features(path).maps(SLICES[3])
    wanted = by_hand(SLICES[3], tensors())
    assert [m.shape for m in found] == [(4, 12, 16), (6, 3, 4)]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_vectors_are_means_of_the_last_maps_slice_by_slice(path):
    network = load_features(path)
    found = network.vectors(SLICES)
    assert found.shape == (11, 6)
    wanted = [network.maps(s)[-1].mean(axis=(1, 2)) for s in SLICES]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_weights_that_want_colours_see_the_slice_in_each(tmp_path):
    grey = load_features(write(tmp_path / "grey.safetensors"))
    weights = tensors()
    first = weights["layers.0.weight"]
    weights["layers.0.weight"] = torch.cat([0.2 * first, 0.5 * first, 0.3 * first], dim=1)
    colour = write(tmp_path / "rgb.safetensors", weights, offset=[0, 0, 0], gain=[1, 1, 1])
    found = load_features(colour).vectors(SLICES)
    np.testing.assert_allclose(found, grey.vectors(SLICES), atol=1e-5)


def test_weights_of_a_perceptual_distance_come_with_the_file(tmp_path, path):
    linear = {"layers.0.linear": torch.rand(4), "layers.1.linear": torch.rand(6)}
    file = write(tmp_path / "lpips.safetensors", tensors() | linear, weighted=True)
    network = load_features(file)
    for found, wanted in zip(network.linear, linear.values(), strict=True):
        np.testing.assert_array_equal(found, wanted.numpy())
    one, other = network.maps(SLICES[0]), network.maps(SLICES[1])
    assert 0 < perceptual_distance(one, other, network.linear) < perceptual_distance(one, other)
    assert load_features(path).linear is None
    with pytest.raises(ModelError, match=r"layers\.0\.linear is absent, expected \(4,\)"):
        load_features(write(tmp_path / "lacks.safetensors", weighted=True))


def test_half_precision_weights_are_read(tmp_path):
    halves = {name: tensor.half() for name, tensor in tensors().items()}
    found = load_features(write(tmp_path / "half.safetensors", halves)).vectors(SLICES)
    whole = load_features(write(tmp_path / "whole.safetensors")).vectors(SLICES)
    np.testing.assert_allclose(found, whole, atol=0.05)
    assert not np.array_equal(found, whole)


def test_distances_of_volumes_by_their_features(path):
    rng = np.random.default_rng(0)
    network, scale, shape = load_features(path), Scale(10.0, 100.0), (14, 18, 12)
    mask = np.zeros(shape)
    mask[1:13, 2:17, 3:11] = 1
    real = rng.normal(60, 20, shape)

    def slices(array):
        grid = Grid(shape, np.diag([1.0, 1, 2, 1]))
        return axial_slices(Volume(array, grid), Volume(mask, grid), scale)

    one, near, far = (slices(real + e * rng.normal(size=shape)) for e in (0, 2, 25))
    assert one.shape == (8, 12, 15)
    vectors = network.vectors(one)
    fid = [frechet_distance(vectors, network.vectors(s)) for s in (one, near, far)]
    lpips = [
        perceptual_distance(network.maps(one[4]), network.maps(s[4])) for s in (one, near, far)
    ]
    assert fid[0] == pytest.approx(0, abs=1e-6)
    assert lpips[0] == 0
    assert fid == sorted(fid)
    assert lpips == sorted(lpips)


def test_slices_are_axial_inside_the_mask_and_between_0_and_1():
    array = np.arange(5 * 6 * 7, dtype=float).reshape(5, 6, 7)
    mask = np.zeros(array.shape)
    mask[1:4, 2:5, [1, 3]] = 1
    mask[1, 2, 1] = 0
    plain, scale = Grid((5, 6, 7), np.eye(4)), Scale(20.0, 100.0)
    found = axial_slices(Volume(array, plain), Volume(mask, plain), scale)
    assert found.shape == (2, 3, 3)
    assert found[0, 0, 0] == 0
    assert found[1, 0, 1] == pytest.approx((array[1, 3, 3] - 20) / 100)
    assert found[1, 2, 2] == found.max() == 1
    turned = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 6], [0, 0, 0, 1.0]])
    other = Grid((7, 6, 5), turned)
    moved = [Volume(a.transpose(2, 1, 0)[::-1], other) for a in (array, mask)]
    np.testing.assert_array_equal(axial_slices(*moved, scale), found)
    with pytest.raises(ValueError, match="mask with voxels"):
        axial_slices(Volume(array, plain), Volume(0 * mask, plain), scale)


def test_slices_that_the_layers_would_reduce_to_nothing_are_refused(path):
    with pytest.raises(ValueError, match="4 pixels or more"):
        load_features(path).vectors(SLICES[:, :3])


def test_a_file_that_is_absent_or_no_safetensors_is_refused(tmp_path, path, monkeypatch):
    with pytest.raises(ModelError, match=r"absent.safetensors: no such file.*you supply"):
        load_features(tmp_path / "absent.safetensors")
    (tmp_path / "junk").write_bytes(b"no header here, nor tensors")
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_features(tmp_path / "junk")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_features(path)
    monkeypatch.setattr("bids_synth.learn.features.extractor.LARGEST", 100)
    with pytest.raises(ModelError, match="larger than"):
        load_features(path)


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"format": 2}, "format"),
        ({"layers": []}, "layers"),
        ({"layers": [{"kernel": 4, "kept": True}]}, "odd"),
        ({"layers": [{"kernel": 3}]}, "one layer kept"),
        ({"layers": [{"kernel": 3, "kept": True, "code": "x"}]}, "code"),
        ({"gain": [0.0]}, "positive"),
        ({"gain": [1.0, 2.0]}, "one length"),
        ({"layers": [*LAYERS, {"kernel": 3}]}, r"layers\.2\.bias"),
        ({"layers": LAYERS[:1]}, r"layers\.1\.bias is \(6,\), expected none"),
        ({"offset": [0, 0, 0], "gain": [1, 1, 1]}, r"layers\.0\.weight is .*\(4, 3, 3, 3\)"),
    ],
)
def test_descriptions_that_fit_no_network_are_refused(tmp_path, description, words):
    with pytest.raises(ModelError, match=words):
        load_features(write(tmp_path / "wrong.safetensors", **description))


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("layers.1.weight", torch.zeros(6, 3, 5, 5), r"\(6, 4, 5, 5\)"),
        ("layers.1.weight", torch.full((6, 4, 5, 5), float("nan")), "NaN"),
        ("layers.0.bias", torch.zeros(4, dtype=torch.int64), "int64"),
        ("extra", torch.zeros(2), "extra is"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path, name, tensor, words):
    with pytest.raises(ModelError, match=words):
        load_features(write(tmp_path / "wrong.safetensors", tensors() | {name: tensor}))


def test_a_file_without_a_description_is_refused(tmp_path):
    save_file(tensors(), tmp_path / "bare.safetensors")
    with pytest.raises(ModelError, match="metadata lack `features`"):
        load_features(tmp_path / "bare.safetensors")
