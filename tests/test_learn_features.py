"""Supplied networks: VGG16, LPIPS and MedicalNet against plain torch; files that are refused."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import pytest
import torch
from feature_files import (
    WIDTHS,
    linear_weights,
    medicalnet_file,
    plain_medicalnet,
    plain_vgg16,
    vgg_state,
)
from safetensors.torch import save_file

from bids_synth.core.scale import Scale
from bids_synth.errors import ModelError
from bids_synth.learn.features.supplied import load_features, views_of
from bids_synth.measure.features import frechet_distance, perceptual_distance
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume

AFTER = (3, 8, 15, 22, 29)
"""Numbers of the ReLUs before the five poolings: relu1_2, relu2_2, relu3_3, relu4_3, relu5_3."""
SLICES = np.random.default_rng(1).random((3, 32, 48), dtype=np.float32)


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """As torchvision hands it out, with a classifier, here of a few numbers."""
    path = tmp_path_factory.mktemp("vgg") / "vgg16-397923af.pth"
    torch.save(vgg_state() | {"classifier.0.weight": torch.zeros(2, 2)}, path)
    return path


@pytest.fixture(scope="module")
def lpips(tmp_path_factory):
    path = tmp_path_factory.mktemp("lpips") / "lpips.safetensors"
    save_file(vgg_state() | linear_weights(), path)
    return path


def by_hand(image):
    """Maps after each of the ReLUs; colours as LPIPS scales them, from -1 to 1."""
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    maps, kept = (2 * torch.from_numpy(image).expand(1, 3, -1, -1) - 1 - shift) / scale, []
    with torch.no_grad():
        for number, layer in enumerate(plain_vgg16()):
            maps = layer(maps)
            kept += [maps[0]] if number in AFTER else []
    return kept


def test_maps_of_vgg16_are_those_of_plain_layers(vgg):
    network = load_features(vgg)
    maps, wanted = network.maps(SLICES[0]), by_hand(SLICES[0])
    assert [m.shape for m in maps] == [
        (f, 32 // 2**n, 48 // 2**n) for n, f in enumerate(WIDTHS)
    ]  # fmt: skip
    for one, other in zip(maps, wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-3)
    assert network.linear is None
    assert not network.volumes
    assert network.standardised(SLICES) is network


def test_the_weighted_distance_is_that_of_lpips(lpips):
    network = load_features(lpips)
    distance = perceptual_distance(
        network.maps(SLICES[0]), network.maps(SLICES[1]), network.linear
    )
    wanted = 0.0
    pairs = zip(by_hand(SLICES[0]), by_hand(SLICES[1]), linear_weights().values(), strict=True)
    for one, other, weight in pairs:
        unit = [m / (m.pow(2).sum(0, keepdim=True).sqrt() + 1e-10) for m in (one, other)]
        wanted += float(
            torch.nn.functional.conv2d((unit[0] - unit[1]).pow(2)[None], weight).mean()
        )
    assert distance == pytest.approx(wanted, rel=1e-3)
    assert distance > 0
    assert perceptual_distance(*[network.maps(SLICES[0])] * 2, network.linear) == 0


def test_the_state_of_the_lpips_package_is_read(lpips, tmp_path):
    starts = (0, 4, 9, 16, 23)
    state = {}
    for name, tensor in vgg_state().items():
        _, number, kind = name.split(".")
        block = sum(int(number) >= start for start in starts)
        state[f"net.slice{block}.{number}.{kind}"] = tensor
    for name, tensor in linear_weights().items():
        state |= {name: tensor, name.replace("lin", "lins."): tensor}
    state["scaling_layer.shift"] = torch.zeros(1, 3, 1, 1)
    torch.save(state, tmp_path / "lpips.pt")
    one, other = load_features(tmp_path / "lpips.pt"), load_features(lpips)
    for maps, wanted in zip(one.maps(SLICES[0]), other.maps(SLICES[0]), strict=True):
        np.testing.assert_array_equal(maps, wanted)
    for weights, wanted in zip(one.linear, other.linear, strict=True):
        np.testing.assert_array_equal(weights, wanted)


def test_medicalnet_sees_volumes_as_monais_network_does(tmp_path):
    network, plain = load_features(medicalnet_file(tmp_path / "resnet_10_23dataset.pth")), []
    volume = np.random.default_rng(2).random((20, 33, 17), dtype=np.float32)
    own = plain_medicalnet()
    for layer in (own.layer1, own.layer2, own.layer3, own.layer4):
        layer.register_forward_hook(lambda _, __, maps: plain.append(maps[0].numpy()))
    with torch.no_grad():
        (vector,) = own(torch.from_numpy((volume - 0.4) / 0.2)[None, None])
    assert network.volumes
    standardised = network.standardised(np.array([0.2, 0.6]))
    maps = standardised.maps(volume)
    for one, other in zip(maps, plain, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    np.testing.assert_allclose(maps[-1].mean(axis=(1, 2, 3)), vector.numpy(), atol=1e-4)
    assert not np.allclose(network.maps(volume)[0], maps[0])


def test_medicalnet_without_prefix_and_counters_is_the_same(tmp_path):
    wrapped = load_features(medicalnet_file(tmp_path / "wrapped.pth"))
    state = plain_medicalnet().state_dict()
    bare = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    save_file(bare, tmp_path / "bare.safetensors")
    volume = np.random.default_rng(2).random((16, 16, 16), dtype=np.float32)
    unwrapped = load_features(tmp_path / "bare.safetensors")
    for one, other in zip(unwrapped.maps(volume), wrapped.maps(volume), strict=True):
        np.testing.assert_array_equal(one, other)


def test_half_precision_weights_are_read(vgg, tmp_path):
    save_file({n: t.half() for n, t in vgg_state().items()}, tmp_path / "half.safetensors")
    half = load_features(tmp_path / "half.safetensors").maps(SLICES[0])[-1]
    whole = load_features(vgg).maps(SLICES[0])[-1]
    np.testing.assert_allclose(half, whole, atol=0.05)
    assert not np.array_equal(half, whole)


def test_loading_leaves_chance_alone(vgg):
    torch.manual_seed(0)
    chance = torch.rand(1)
    torch.manual_seed(0)
    load_features(vgg)
    assert torch.equal(chance, torch.rand(1))


def test_distances_of_volumes_by_their_features(vgg):
    rng = np.random.default_rng(0)
    network, scale, shape = load_features(vgg), Scale(10.0, 100.0), (18, 20, 6)
    mask = np.zeros(shape)
    mask[1:17, 2:19, 1:5] = 1
    real = rng.normal(60, 20, shape)

    def slices(array):
        grid = Grid(shape, np.diag([1.0, 1, 2, 1]))
        return views_of(Volume(array, grid), Volume(mask, grid), scale, volumes=False)

    views = [slices(real + e * rng.normal(size=shape)) for e in (0, 2, 25)]
    assert views[0].shape == (4, 16, 17)
    maps = [[network.maps(s) for s in view] for view in views]
    vectors = [np.stack([m[-1].mean(axis=(1, 2)) for m in each]) for each in maps]
    fid = [frechet_distance(vectors[0], v) for v in vectors]
    lpips = [perceptual_distance(maps[0][2], each[2]) for each in maps]
    assert fid[0] == pytest.approx(0, abs=1e-4)
    assert lpips[0] == 0
    assert fid == sorted(fid)
    assert lpips == sorted(lpips)


def test_views_are_inside_the_mask_and_between_0_and_1():
    array = np.arange(5 * 6 * 7, dtype=float).reshape(5, 6, 7)
    mask = np.zeros(array.shape)
    mask[1:4, 2:5, [1, 3]] = 1
    mask[1, 2, 1] = 0
    plain, scale = Grid((5, 6, 7), np.eye(4)), Scale(20.0, 100.0)
    slices = views_of(Volume(array, plain), Volume(mask, plain), scale, volumes=False)
    assert slices.shape == (2, 3, 3)
    assert slices[0, 0, 0] == 0
    assert slices[1, 0, 1] == pytest.approx((array[1, 3, 3] - 20) / 100)
    assert slices[1, 2, 2] == slices.max() == 1
    whole = views_of(Volume(array, plain), Volume(mask, plain), scale, volumes=True)
    assert whole.shape == (1, 3, 3, 3)
    np.testing.assert_array_equal(whole[0, :, :, [0, 2]], slices)
    assert not whole[0, :, :, 1].any()
    turned = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 6], [0, 0, 0, 1.0]])
    other = Grid((7, 6, 5), turned)
    moved = [Volume(a.transpose(2, 1, 0)[::-1], other) for a in (array, mask)]
    np.testing.assert_array_equal(views_of(*moved, scale, volumes=False), slices)
    with pytest.raises(ValueError, match="mask with voxels"):
        views_of(Volume(array, plain), Volume(0 * mask, plain), scale, volumes=False)


SHAPES = {name: tuple(tensor.shape) for name, tensor in vgg_state().items()}


def thin(**shapes):
    """Tensors of these shapes, each of one number that is repeated: small files."""
    return {name: torch.zeros(1).expand(shape) for name, shape in (SHAPES | shapes).items()}


def saved(path, state):
    torch.save(state, path)
    return path


class Executed:
    """What a pickle may hold: a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_what_is_no_file_of_tensors_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match=r"absent.safetensors: no such file.*you supply"):
        load_features(tmp_path / "absent.safetensors")
    for name, words in (("junk", "safetensors file"), ("junk.pth", "state dict as torch.save")):
        (tmp_path / name).write_bytes(b"no header here, nor tensors")
        with pytest.raises(ModelError, match=f"{name}: is not a {words}.*save them again"):
            load_features(tmp_path / name)
    path = saved(tmp_path / "cut.pth", thin())
    path.write_bytes(path.read_bytes()[:-300])
    for content in (path, saved(tmp_path / "list.pt", [1, 2])):
        with pytest.raises(ModelError, match="is not a state dict"):
            load_features(content)
    monkeypatch.setattr("bids_synth.learn.features.supplied.LARGEST", 100)
    with pytest.raises(ModelError, match="larger than"):
        load_features(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_pickle_is_not_executed(tmp_path, legacy):
    state = thin() | {"extra": Executed(tmp_path / "folder")}
    torch.save(state, tmp_path / "code.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelError, match="is not a state dict") as refusal:
        load_features(tmp_path / "code.pth")
    assert "weights_only" not in str(refusal.value)
    assert not (tmp_path / "folder").exists()


def test_the_size_is_that_of_what_a_file_unpacks_to(tmp_path, monkeypatch):
    path = saved(tmp_path / "plain.pth", thin() | {"extra": torch.zeros(10**6)})
    with zipfile.ZipFile(path) as wide, zipfile.ZipFile(
        tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED
    ) as narrow:  # fmt: skip
        for entry in wide.infolist():
            narrow.writestr(entry.filename, wide.read(entry))
    monkeypatch.setattr("bids_synth.learn.features.supplied.LARGEST", 10**6)
    assert (tmp_path / "bomb.pth").stat().st_size < 10**6
    with pytest.raises(ModelError, match="larger than"):
        load_features(tmp_path / "bomb.pth")


BROKEN = torch.zeros(64).index_fill(0, torch.tensor([3]), float("nan"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"features.28.bias": None}, r"features\.28\.bias is absent, expected \(512,\)"),
        ({"features.1.running_mean": torch.zeros(64)}, r"running_mean is \(64,\), expected none"),
        ({"features.2.weight": torch.zeros(64, 3, 3, 3)}, r"expected \(64, 64, 3, 3\)"),
        ({"features.0.bias": BROKEN}, r"features\.0\.bias has NaN"),
        ({"features.0.bias": torch.zeros(64, dtype=torch.int64)}, "int64"),
        ({"features.0.bias": torch.zeros(64).to_sparse()}, "sparse"),
        ({"features.0.bias": torch.zeros(64, device="meta")}, "expected float32"),
        ({"lin0.model.1.weight": torch.zeros(1, 64, 1, 1)}, r"lin1\.model\.1\.weight is absent"),
        ({"features.0.weight": None}, "got features.0.bias, .*supply one of these"),
        ({"layer1.0.conv1.weight": torch.zeros(64, 64, 3, 3)}, "and [0-9]+ more"),
    ],
)
def test_other_tensors_are_refused(tmp_path, changes, words):
    state = {name: tensor for name, tensor in (thin() | changes).items() if tensor is not None}
    with pytest.raises(ModelError, match=rf"(?s)wrong\.pth: .*{words}"):
        load_features(saved(tmp_path / "wrong.pth", state))


def test_a_stack_that_describes_itself_is_no_longer_read(tmp_path):
    tensors = {"layers.0.weight": torch.zeros(4, 1, 3, 3), "layers.0.bias": torch.zeros(4)}
    description = {"format": 1, "layers": [{"kernel": 3, "kept": True}]}
    path = tmp_path / "old.safetensors"
    save_file(tensors, path, metadata={"features": json.dumps(description)})
    with pytest.raises(ModelError, match=r"VGG16.*MedicalNet.*got layers\.0\.bias"):
        load_features(path)
