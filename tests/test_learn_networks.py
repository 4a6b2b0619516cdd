"""The published networks: their sizes, what they read, and that no item sees another."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from learn_toys import parameter_count
from torch import nn

from bids_synth.errors import RecipeError
from bids_synth.learn.networks.excitation_unet import ExcitationUNet
from bids_synth.learn.networks.pix2pix_unet import Pix2PixUNet
from bids_synth.learn.networks.residual_unet3d import ResidualUNet3D
from bids_synth.learn.networks.resnet2d import ResNet2D
from bids_synth.learn.networks.two_way import TwoWay
from bids_synth.learn.networks.unet2d import UNet2D

THREE = {"sources": 3, "targets": 3}
SLICE, BLOCK = (20, 33, 1), (11, 8, 14)
SMALL = {
    "unet2d": (UNet2D, {**THREE, "depth": 4, "filters": 4, "dropout": 0.0}, SLICE),
    "unet2d-average": (
        UNet2D,
        {**THREE, "depth": 3, "filters": 4, "dropout": 0.0, "imputation": "average"},
        SLICE,
    ),
    "unet2d-implicit": (
        UNet2D,
        {**THREE, "depth": 3, "filters": 4, "dropout": 0.0, "implicit": True},
        SLICE,
    ),
    "pix2pix": (Pix2PixUNet, {**THREE, "downs": 5, "filters": 4, "dropout": 0.0}, SLICE),
    "pix2pix-group": (
        Pix2PixUNet,
        {**THREE, "downs": 4, "filters": 4, "dropout": 0.0, "norm": "group", "output": "tanh"},
        SLICE,
    ),
    "resnet2d": (ResNet2D, {**THREE, "blocks": 2, "filters": 4}, SLICE),
    "two-way": (TwoWay, {"blocks": 1, "filters": 4}, SLICE),
    "two-way-3d": (TwoWay, {"generator": ResidualUNet3D, "levels": 2, "filters": 16}, BLOCK),
    "residual3d": (ResidualUNet3D, {**THREE, "filters": 16, "levels": 3}, BLOCK),
    "residual3d-whole": (
        ResidualUNet3D,
        {**THREE, "filters": 16, "multipliers": (1, 2), "depthwise": False, "output": "linear"},
        BLOCK,
    ),
    "excitation": (ExcitationUNet, {**THREE, "filters": 4, "levels": 3}, BLOCK),
}
NAMES = list(SMALL)


def small(name: str, *, device: str = "cpu") -> nn.Module:
    kind, parameters, _ = SMALL[name]
    torch.manual_seed(0)
    with torch.device(device):
        return kind(**parameters)


def numbers(name: str, items: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    _, parameters, shape = SMALL[name]
    sources = parameters.get("sources", 2)
    generator = torch.Generator().manual_seed(1)
    available = torch.ones(items, sources)
    available[0, 1] = 0 if sources > 2 else 1
    return torch.rand(items, sources, *shape, generator=generator), available


# Sizes, as published


def unet_weights(depth: int, *, first: int, last: int, filters: int = 64) -> int:
    """Weights of 4x4 convolutions: down, mirrored up with skips, and one bias for each target."""
    widths = [filters * min(2**k, 8) for k in range(depth)]
    down = sum(16 * a * b for a, b in zip([first, *widths], widths, strict=False))
    up = 16 * widths[-1] * widths[-2]
    up += sum(16 * 2 * widths[k] * widths[k - 1] for k in range(depth - 2, 0, -1))
    return down + up + 16 * 2 * filters * last + last


def on_meta(kind: type[nn.Module], **parameters: object) -> nn.Module:
    with torch.device("meta"):
        return kind(**parameters)


@pytest.mark.parametrize(
    ("depth", "exact", "published"), [(6, 29238275, 29.2), (8, 54404099, 54.4)]
)
def test_the_mmgan_unet_has_the_published_size(depth, exact, published):
    count = parameter_count(on_meta(UNet2D, **THREE, depth=depth))
    assert count == exact == unet_weights(depth, first=3, last=3)
    assert round(count / 1e6, 1) == published


@pytest.mark.parametrize(("downs", "exact"), [(7, 41828995), (8, 54413955)])
def test_the_pix2pix_unet_has_the_published_size(downs, exact):
    widths = [64 * min(2**k, 8) for k in range(downs)]
    normed = [*widths[1:-1], *widths[:-1]]
    expected = unet_weights(downs, first=3, last=3) + 2 * sum(normed)
    count = parameter_count(on_meta(Pix2PixUNet, **THREE, downs=downs, norm="group"))
    assert count == exact == expected
    bare = parameter_count(on_meta(Pix2PixUNet, **THREE, downs=downs))
    assert bare == expected - 2 * sum(normed)


@pytest.mark.parametrize(
    ("blocks", "exact", "published"),
    [(6, 7837699, 7.838), (7, 9017859, 9.018), (9, 11378179, 11.378)],
)
def test_the_cyclegan_generator_has_the_published_size(blocks, exact, published):
    block = 2 * (256 * 256 * 9 + 256)
    ends = (3 * 64 * 49 + 64) + (64 * 3 * 49 + 3)
    steps = 2 * 9 * (64 * 128 + 128 * 256) + (128 + 256) + (128 + 64)
    count = parameter_count(on_meta(ResNet2D, **THREE, blocks=blocks))
    assert count == exact == ends + steps + blocks * block
    assert round(count / 1e6, 3) == published


def test_the_mri2pet_unet_has_the_published_size():
    width, resample = 32, 3
    separable = (27 * width + width) + (width * width + width)
    wide = (27 * 2 * width + 2 * width) + (2 * width * width + width)
    whole = 27 * width * width + width
    norm = 2 * width
    down = 4 * 2 * (norm + separable)
    shortcut = 2 * width * width + width
    up = 8 * (2 * norm + wide + norm + separable + shortcut)
    attention = 4 * (norm + 4 * (width * width + width))
    middle = 2 * 2 * (norm + whole)
    steps = resample * (27 + 64) * width * width
    ends = (27 * width + width) + norm + (27 * width + 1)
    count = parameter_count(on_meta(ResidualUNet3D, sources=1, targets=1))
    assert count == ends + down + steps + middle + up + attention == 490401


# What every generator does


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fitting", [True, False])
def test_no_item_of_a_batch_sees_another(name, fitting):
    network = small(name).train(fitting)
    images, available = numbers(name, items=3)
    with torch.inference_mode():
        together = network(images, available)
        for n in range(3):
            alone = network(images[n : n + 1], available[n : n + 1])
            torch.testing.assert_close(together[n : n + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_result_has_the_shape_of_the_images_and_repeats_to_the_bit(name):
    network = small(name).eval()
    images, available = numbers(name)
    with torch.inference_mode():
        made = network(images, available)
        assert torch.equal(made, network(images, available))
    targets = SMALL[name][1].get("targets", 2)
    assert made.shape == (1, targets, *images.shape[2:])
    assert made.std() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_another_instance_fill_a_network_without_any(name):
    network, empty = small(name).eval(), small(name, device="meta").eval()
    empty.load_state_dict(network.state_dict(), assign=True)
    images, available = numbers(name)
    with torch.inference_mode():
        assert torch.equal(empty(images, available), network(images, available))


def cancelled(network: nn.Module) -> set[str]:
    """Biases of convolutions that an InstanceNorm stands right behind."""
    found = set()
    for prefix, module in network.named_modules():
        parts = list(module.named_children()) if isinstance(module, nn.Sequential) else []
        for (label, part), (_, following) in pairwise(parts):
            if isinstance(following, nn.InstanceNorm2d) and part.bias is not None:
                found.add(f"{prefix}.{label}.bias")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns_but_the_published_biases_that_a_norm_cancels(name):
    network = small(name).double().train()
    images, _ = numbers(name, items=2)
    available = torch.ones(images.shape[:2])
    if name == "unet2d-implicit":
        available[:, 1:] = 0
    made = network(images.double(), available)
    (made * torch.randn_like(made)).sum().backward()
    sizes = {label: p.grad.abs().max().item() for label, p in network.named_parameters()}
    largest = max(sizes.values())
    assert {label for label, size in sizes.items() if size < 1e-9 * largest} == cancelled(network)


@pytest.mark.parametrize("name", ["unet2d", "pix2pix", "resnet2d", "residual3d", "excitation"])
def test_numbers_in_the_place_of_an_absent_image_do_not_matter(name):
    network = small(name).eval()
    images, available = numbers(name)
    other = images.clone()
    other[:, 1] = torch.nan
    with torch.inference_mode():
        assert torch.equal(network(images, available), network(other, available))


@pytest.mark.parametrize("name", ["unet2d", "pix2pix", "resnet2d", "two-way"])
def test_a_thick_patch_is_refused_by_a_2d_network(name):
    images, available = numbers(name)
    with pytest.raises(RecipeError, match="one axial slice"):
        small(name)(images.expand(-1, -1, -1, -1, 2), available)


# Two ways


def test_each_direction_reads_the_other_image_and_has_its_own_weights():
    network = small("two-way").eval()
    images, available = numbers("two-way", items=2)
    with torch.inference_mode():
        made = network(images, available)
        assert torch.equal(made[:, 1:], network.translate(0, images[:, :1]))
        assert torch.equal(made[:, :1], network.translate(1, images[:, 1:]))
        assert not torch.equal(
            network.translate(0, images[:, :1]), network.translate(1, images[:, :1])
        )


@pytest.mark.parametrize("batch_has_both", [True, False])
def test_a_direction_whose_source_is_absent_gives_zeros(batch_has_both):
    network = small("two-way").eval()
    images, _ = numbers("two-way", items=2)
    available = torch.tensor([[1.0, 0.0], [1.0, float(batch_has_both)]])
    with torch.inference_mode():
        made = network(images, available)
    assert not made[0, 0].any()
    assert made[0, 1].any()
    assert made[1, 0].any() == batch_has_both


def test_two_ways_between_three_modalities_are_refused():
    with pytest.raises(RecipeError, match="two modalities"):
        TwoWay(sources=3, targets=3)
