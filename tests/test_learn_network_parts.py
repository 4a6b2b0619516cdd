"""Parts of the published networks: imputation, folded convolutions, attention, discriminators."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from math import ceil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from learn_toys import parameter_count
from monai.networks.nets import PatchDiscriminator as MonaiDiscriminator
from torch import nn
from torch.nn import functional

from bids_synth.errors import RecipeError
from bids_synth.learn.networks.blocks.absent import IMPUTATIONS, fill_absent, keep_available
from bids_synth.learn.networks.blocks.convolution import NarrowConv2d
from bids_synth.learn.networks.blocks.depthwise import DepthwiseConv3d, PointwiseConv3d
from bids_synth.learn.networks.blocks.layout import cropped, padded
from bids_synth.learn.networks.blocks.parts import norm_of, output_of
from bids_synth.learn.networks.blocks.product import linear
from bids_synth.learn.networks.blocks.space_attention import SpaceAttention
from bids_synth.learn.networks.discriminator import KERNEL, PatchDiscriminator
from bids_synth.learn.networks.excitation_unet import AttentionGate
from bids_synth.learn.networks.unet2d import DoubledConv2d, UNet2D

AVAILABLE = torch.tensor([[1.0, 0, 1], [1, 1, 1], [0, 0, 0]])


# Absent images


@pytest.mark.parametrize("imputation", list(IMPUTATIONS))
@pytest.mark.parametrize("fresh", [True, False])
def test_available_images_stay_and_absent_ones_do_not_show(imputation, fresh):
    images = torch.rand(3, 3, 4, 5, 1)
    hidden = images.clone()
    hidden[AVAILABLE == 0] = torch.nan
    filled = fill_absent(hidden, AVAILABLE, imputation, fresh=fresh)
    assert torch.equal(filled[AVAILABLE == 1], images[AVAILABLE == 1])
    assert torch.isfinite(filled).all()


def test_the_average_is_that_of_the_items_available_images():
    images = torch.rand(3, 3, 4, 5, 1)
    filled = fill_absent(images, AVAILABLE, "average", fresh=False)
    torch.testing.assert_close(filled[0, 1], (images[0, 0] + images[0, 2]) / 2)
    assert not filled[2].any()


def test_noise_is_drawn_anew_in_fitting_only_and_leaves_the_random_state_alone():
    images = torch.rand(3, 3, 8, 8, 1)
    before = torch.get_rng_state()
    one, other = (fill_absent(images, AVAILABLE, "noise", fresh=False) for _ in range(2))
    assert torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())
    alone = fill_absent(images[2:], AVAILABLE[2:], "noise", fresh=False)
    assert torch.equal(one[2:], alone)
    assert one[2].std() > 0.2
    one, other = (fill_absent(images, AVAILABLE, "noise", fresh=True) for _ in range(2))
    assert not torch.equal(one[2], other[2])


def test_a_unet_with_noise_repeats_itself_outside_of_fitting():
    network = UNet2D(sources=3, targets=3, depth=3, filters=4, imputation="noise").eval()
    images = torch.rand(3, 3, 16, 16, 1)
    with torch.inference_mode():
        assert torch.equal(network(images, AVAILABLE), network(images, AVAILABLE))
        network.train()
        assert not torch.equal(network(images, AVAILABLE), network(images, AVAILABLE))


def test_dropout_begins_at_the_fourth_level_and_only_acts_in_fitting():
    network = UNet2D(sources=1, targets=1, depth=6, filters=4)
    drops = [any(isinstance(part, nn.Dropout) for part in level) for level in network.down]
    assert drops == [False, False, False, True, True, True]


def test_implicit_conditioning_returns_the_real_images_to_the_bit():
    network = UNet2D(sources=3, targets=3, depth=3, filters=4, implicit=True).eval()
    images = torch.rand(3, 3, 16, 16, 1)
    with torch.inference_mode():
        made = network(images, AVAILABLE)
    assert torch.equal(made[AVAILABLE == 1], images[AVAILABLE == 1])
    assert not torch.equal(made[0, 1], images[0, 1])
    assert torch.equal(made, keep_available(made, images, AVAILABLE))


@pytest.mark.parametrize(
    "wrong", [{"implicit": True, "targets": 1}, {"output": "softmax"}, {"imputation": "wish"}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(RecipeError):
        UNet2D(**{"sources": 2, "targets": 2, "depth": 3, "filters": 4, **wrong})(
            torch.rand(1, 2, 16, 16, 1), torch.ones(1, 2)
        )


# Layout, outputs and norms


@given(
    shape=st.lists(st.integers(1, 9), min_size=2, max_size=3), multiple=st.sampled_from([1, 2, 4])
)
def test_padding_is_undone_by_cropping(shape, multiple):
    images = torch.rand(2, 1, *shape)
    larger = padded(images, multiple)
    assert list(larger.shape[2:]) == [multiple * ceil(n / multiple) for n in shape]
    assert torch.equal(cropped(larger, shape), images)
    assert larger.sum() == pytest.approx(images.sum().item(), rel=1e-5)


def test_tanh_is_brought_to_the_range_of_scaled_images():
    values = torch.linspace(-20, 20, 101)
    torch.testing.assert_close(output_of("tanh")(values), torch.sigmoid(2 * values))


def test_norms_know_their_names():
    with pytest.raises(RecipeError, match="unknown norm 'batch'"):
        norm_of("batch", 8, 2)


@given(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(1, 7),
    st.integers(0, 5), st.integers(0, 5),
)  # fmt: skip
def test_a_narrow_convolution_is_that_of_torch(count, maps, targets, kernel, more, wider) -> None:
    narrow, plain = NarrowConv2d(maps, targets, kernel), nn.Conv2d(maps, targets, kernel)
    plain.load_state_dict(narrow.state_dict())
    narrow, plain = narrow.double(), plain.double()
    images = torch.rand(count, maps, kernel + more, kernel + wider, dtype=torch.float64)
    results = []
    for layer in (narrow, plain):
        shown = images.clone().requires_grad_(requires_grad=True)
        made = layer(shown)
        (made**2).sum().backward()
        results.append([made, shown.grad, *(p.grad for p in layer.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (8, 8)])
def test_the_folded_convolution_is_doubling_padding_and_convolving(shape):
    folded = DoubledConv2d(6, 3).double()
    plain = nn.Conv2d(6, 3, 4, padding=1).double()
    plain.load_state_dict(folded.state_dict())
    oracle = nn.Sequential(nn.Upsample(scale_factor=2), nn.ZeroPad2d((1, 0, 1, 0)), plain)
    maps = torch.rand(2, 6, *shape, dtype=torch.float64)
    torch.testing.assert_close(folded(maps), oracle(maps))
    folded(maps).square().sum().backward()
    oracle(maps).square().sum().backward()
    torch.testing.assert_close(folded.weight.grad, plain.weight.grad)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("items", [1, 2])
@pytest.mark.parametrize("shape", [(5, 4, 7), (1, 4, 3)])
def test_the_depthwise_convolution_and_its_gradients_equal_torchs(layout, items, shape):
    ours, theirs = DepthwiseConv3d(6), nn.Conv3d(6, 6, 3, padding=1, groups=6)
    theirs.load_state_dict(ours.state_dict())
    results = []
    for module in (ours, theirs):
        generator = torch.Generator().manual_seed(0)
        maps = torch.rand(items, 6, *shape, generator=generator)
        maps = maps.contiguous(memory_format=layout).requires_grad_()
        made = module(maps)
        (made * torch.rand(made.shape, generator=generator)).sum().backward()
        results.append([made.detach(), maps.grad, module.weight.grad, module.bias.grad])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_pointwise_convolution_equals_torchs_and_keeps_the_layout():
    ours, theirs = PointwiseConv3d(6, 4), nn.Conv3d(6, 4, 1)
    theirs.load_state_dict(ours.state_dict())
    maps = torch.rand(2, 6, 5, 4, 7).contiguous(memory_format=torch.channels_last_3d)
    made = ours(maps)
    torch.testing.assert_close(made, theirs(maps))
    assert made.is_contiguous(memory_format=torch.channels_last_3d)


# Attention


def test_attention_equals_torchs_own():
    attention = SpaceAttention(8, heads=2).eval()
    oracle = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    oracle.in_proj_weight.data, oracle.in_proj_bias.data = (
        attention.ask.weight.data,
        attention.ask.bias.data,
    )
    oracle.out_proj.load_state_dict(attention.merge.state_dict())
    maps = torch.randn(2, 8, 2, 3, 4)
    voxels = attention.norm(maps).flatten(2).transpose(1, 2)
    with torch.inference_mode():
        expected = maps + oracle(voxels, voxels, voxels)[0].transpose(1, 2).reshape(maps.shape)
        torch.testing.assert_close(attention(maps), expected, rtol=1e-4, atol=1e-5)


def test_attention_sees_far_voxels_of_its_item_and_nothing_of_another():
    torch.manual_seed(0)
    attention = SpaceAttention(8)
    maps = torch.randn(2, 8, 4, 4, 4, requires_grad=True)
    attention(maps)[0, :, 0, 0, 0].square().sum().backward()
    assert (maps.grad[0].abs().amax(dim=0) > 0).all()
    assert not maps.grad[1].any()
    with torch.inference_mode():
        changed = torch.stack([maps[0], maps[1] + 1])
        assert torch.equal(attention(maps)[0], attention(changed)[0])


def test_attention_keeps_the_layout_of_its_maps():
    maps = torch.randn(2, 8, 4, 4, 4).contiguous(memory_format=torch.channels_last_3d)
    made = SpaceAttention(8)(maps)
    assert made.is_contiguous(memory_format=torch.channels_last_3d)


def test_a_gate_only_lessens_what_it_lets_through():
    skip, deeper = torch.randn(2, 8, 3, 3, 3), torch.randn(2, 8, 3, 3, 3)
    passed = AttentionGate(8)(skip, deeper) / skip
    assert ((passed > 0) & (passed < 1)).all()
    torch.testing.assert_close(passed[:, :1].expand_as(passed), passed, rtol=1e-4, atol=1e-5)


# Discriminators


def discriminator_size(maps: int, *, normed: int) -> int:
    widths = [maps, 64, 128, 256, 512, 1]
    weights = sum(16 * a * b for a, b in pairwise(widths))
    return weights + 64 + 1 + normed * (128 + 256 + 512)


def test_the_reference_discriminators_have_the_published_size():
    with torch.device("meta"):
        cycle = parameter_count(PatchDiscriminator(maps=3))
        paired = parameter_count(PatchDiscriminator(maps=6, norm="group"))
    assert cycle == discriminator_size(3, normed=1) == 2764737
    assert paired == discriminator_size(6, normed=2) == 2768705


@pytest.mark.parametrize(("dims", "layers"), [(2, 1), (2, 3), (3, 2)])
def test_a_tail_of_two_equals_monais(dims, layers):
    ours = PatchDiscriminator(maps=2, spatial_dims=dims, layers=layers, filters=4)
    theirs = MonaiDiscriminator(dims, 4, 2, num_layers_d=layers, norm="INSTANCE", bias=True)
    weights = zip(theirs.state_dict(), ours.state_dict().values(), strict=True)
    theirs.load_state_dict(dict(weights))
    images = torch.rand(2, 2, *((32, 40, 1) if dims == 2 else (24, 16, 18)))
    with torch.inference_mode():
        expected = theirs(images[..., 0] if dims == 2 else images)[-1]
        torch.testing.assert_close(ours(images), expected[..., None] if dims == 2 else expected)


def seen(dims: int, layers: int, tail: int, length: int) -> list[int]:
    """Extent along each axis of the input that one logit in the middle depends on."""
    torch.manual_seed(0)
    network = PatchDiscriminator(
        maps=1, spatial_dims=dims, layers=layers, tail=tail, filters=2, norm="none"
    ).double()
    shape = (length,) * dims if dims == 3 else (length, length, 1)
    images = torch.rand(1, 1, *shape, dtype=torch.float64, requires_grad=True)
    logits = network(images)
    logits[(0, 0, *(n // 2 for n in logits.shape[2:]))].backward()
    places = images.grad[0, 0].nonzero()[:, :dims]
    return (places.amax(dim=0) - places.amin(dim=0) + 1).tolist()


def receptive_field(layers: int, tail: int) -> int:
    """From the last to the first, a kernel with stride s widens a field of r to (r - 1) s + k."""
    field = 1
    for stride in (1,) * tail + (2,) * layers:
        field = (field - 1) * stride + KERNEL
    return field


@pytest.mark.parametrize(
    ("dims", "layers", "tail", "published"),
    [(2, 1, 2, 16), (2, 2, 2, 34), (2, 3, 2, 70), (2, 4, 1, 94), (3, 1, 2, 16), (3, 2, 2, 34)],
)
def test_the_receptive_field_is_what_the_gradient_reaches(dims, layers, tail, published):
    assert receptive_field(layers, tail) == published
    assert seen(dims, layers, tail, length=2 * published + 2) == [published] * dims


@pytest.mark.parametrize(
    ("tail", "keep", "length"), [(2, False, 30), (1, False, 15), (1, True, 16)]
)
def test_maps_of_logits_have_the_published_size(tail, keep, length):
    layers = 3 if tail == 2 else 4
    network = PatchDiscriminator(maps=6, outputs=3, layers=layers, tail=tail, filters=2, keep=keep)
    assert network(torch.rand(1, 6, 256, 256, 1)).shape == (1, 3, length, length, 1)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("norm", ["instance", "group", "none"])
@pytest.mark.parametrize("spectral", [True, False])
@pytest.mark.parametrize("fitting", [True, False])
def test_a_discriminator_judges_each_item_alone(dims, norm, spectral, fitting):
    torch.manual_seed(0)
    network = PatchDiscriminator(
        maps=2,
        spatial_dims=dims,
        layers=2,
        filters=4,
        norm=norm,
        spectral=spectral,
        keep=dims == 3,
    ).train(fitting)
    images = torch.rand(2, 2, 24, 16, 1 if dims == 2 else 16)
    with torch.no_grad():
        for _ in range(50 if spectral and fitting else 1):
            together = network(images)
        torch.testing.assert_close(together[:1], network(images[:1]), rtol=1e-3, atol=1e-4)
    assert together.shape[:2] == (2, 1)
    assert (together[0] - together[1]).abs().max() > 1e-4


def test_spectral_norm_brings_every_weight_to_one():
    torch.manual_seed(0)
    network = PatchDiscriminator(maps=2, layers=2, filters=4, norm="none", spectral=True)
    with torch.no_grad():
        for _ in range(200):
            network(torch.rand(1, 2, 24, 24, 1))
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(weights) == 4
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("spectral", [True, False])
def test_every_parameter_of_a_discriminator_learns(dims, spectral):
    torch.manual_seed(0)
    network = PatchDiscriminator(
        maps=2, spatial_dims=dims, layers=2, filters=4, norm="group", spectral=spectral
    )
    images = torch.rand(2, 2, 24, 16, 1 if dims == 2 else 16)
    network(images).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


def test_a_discriminator_can_be_built_without_memory():
    with torch.device("meta"):
        network = PatchDiscriminator(maps=2, spatial_dims=3, layers=2, spectral=True)
        assert network(torch.rand(1, 2, 32, 32, 32)).device.type == "meta"


@pytest.mark.parametrize("wrong", [{"layers": 0}, {"tail": 3}, {"spatial_dims": 1}])
def test_impossible_discriminators_are_refused(wrong):
    with pytest.raises(RecipeError, match="a discriminator got"):
        PatchDiscriminator(maps=1, **wrong)


@given(st.integers(1, 300), st.integers(1, 240), st.integers(1, 160), st.booleans())
def test_the_quick_product_is_that_of_torch(rows: int, inputs: int, outputs: int, silu: bool):
    tensors = [
        torch.rand(shape) - 0.5 for shape in ((rows, inputs), (outputs, inputs), (outputs,))
    ]
    weights = torch.rand(rows, outputs)

    def learned(product):
        values, weight, bias = (tensor.clone().requires_grad_() for tensor in tensors)
        answer = product(values, weight, bias)
        (answer * weights).sum().backward()
        return [answer.detach(), values.grad, weight.grad, bias.grad]

    def plain(values, weight, bias):
        answer = functional.linear(values, weight, bias)
        return functional.silu(answer) if silu else answer

    wanted = learned(plain)
    for one, other in zip(learned(partial(linear, silu=silu)), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)
    with torch.inference_mode():
        torch.testing.assert_close(linear(*tensors, silu=silu), wanted[0], rtol=0, atol=2e-5)


def test_the_quick_product_gives_no_gradient_of_what_does_not_learn():
    values, weight, bias = torch.rand(5, 4), torch.rand(3, 4, requires_grad=True), torch.rand(3)
    linear(values, weight, bias).sum().backward()
    torch.testing.assert_close(weight.grad, values.sum(dim=0).expand(3, 4))
    assert values.grad is None
    assert bias.grad is None
