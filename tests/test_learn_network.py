"""The network starts at the linear answer and treats the items of a batch alone."""

from __future__ import annotations

from copy import deepcopy
from typing import get_args

import numpy as np
import pytest
import torch
from learn_toys import toy_recipe
from torch import nn

from bids_synth.learn.baselines.linear import add_grams, gram_of
from bids_synth.learn.networks import NETWORKS, build_network
from bids_synth.learn.networks.blocks.convolution import SmallConv3d, hasten
from bids_synth.learn.networks.blocks.depthwise import PointwiseConv3d
from bids_synth.learn.objectives.objective import update_average
from bids_synth.recipe.recipe import load_recipe, recipe_names
from bids_synth.recipe.sections.network import NetworkPart


def filled_network():
    torch.manual_seed(0)
    network = build_network(toy_recipe())
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


def test_every_network_of_a_recipe_can_be_built():
    parts = get_args(get_args(NetworkPart)[0])
    assert {*NETWORKS, "own"} == {part.model_fields["name"].default for part in parts}
    for name in recipe_names():
        with torch.device("meta"):
            build_network(load_recipe(name))


def test_items_of_a_batch_do_not_see_each_other():
    network = filled_network()
    images = torch.rand(2, 3, 16, 16, 16)
    available = torch.tensor([[1.0, 1, 0], [0, 1, 1]])
    with torch.inference_mode():
        together = network(images, available)
        for n in range(2):
            alone = network(images[n : n + 1], available[n : n + 1])
            torch.testing.assert_close(together[n : n + 1], alone, rtol=1e-4, atol=1e-5)


def test_availability_alone_changes_the_answer():
    network = filled_network()
    images = torch.zeros(1, 3, 16, 16, 16)
    with torch.inference_mode():
        one = network(images, torch.tensor([[1.0, 1, 0]]))
        other = network(images, torch.tensor([[1.0, 0, 0]]))
    assert (one - other).abs().max() > 1e-3


def test_it_starts_at_the_linear_answer_of_every_subset():
    recipe = toy_recipe()
    rng = np.random.default_rng(0)
    images = {m: rng.random((6, 6, 6)) for m in recipe.modalities}
    images["T2w"] = 0.3 * images["T1w"] - 0.5 * images["PDw"] + 0.2
    gram = gram_of(list(images), images, np.ones((6, 6, 6)))
    gramian = add_grams(list(images), [(tuple(images), gram)])
    network = build_network(recipe)
    network.get_buffer("linear").copy_(
        torch.from_numpy(gramian.table(recipe.sources, recipe.targets))
    )
    given = torch.rand(1, 3, 16, 16, 16)
    given[:, recipe.sources.index("T2w")] = 0
    available = torch.tensor([[float(m != "T2w") for m in recipe.sources]])
    with torch.inference_mode():
        made = network(given, available)[0, recipe.targets.index("T2w")]
    one, other = (given[0, recipe.sources.index(m)] for m in ("T1w", "PDw"))
    torch.testing.assert_close(made, 0.3 * one - 0.5 * other + 0.2, rtol=1e-4, atol=1e-5)


def test_the_average_follows_the_formula():
    network, average = filled_network(), filled_network()
    before = [p.clone() for p in average.parameters()]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    update_average(average, network, 0.9)
    for old, new, fresh in zip(before, average.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * fresh)


@pytest.mark.parametrize("bias", [True, False])
def test_mixtures_of_maps_are_those_of_torch_and_keep_their_layout(bias):
    torch.manual_seed(0)
    plain = nn.Conv3d(6, 3, 1, bias=bias)
    fast = deepcopy(plain)
    hasten(fast)
    assert type(fast) is not nn.Conv3d
    maps = torch.randn(2, 6, 5, 7, 4).to(memory_format=torch.channels_last_3d)
    given = [maps.clone().requires_grad_() for _ in range(2)]
    made = [network(one) for network, one in zip((plain, fast), given, strict=True)]
    assert made[1].is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(made[1], made[0], rtol=1e-5, atol=1e-6)
    for one in made:
        one.square().sum().backward()
    torch.testing.assert_close(given[1].grad, given[0].grad, rtol=1e-5, atol=1e-5)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(fast.get_parameter(name).grad, parameter.grad)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("maps", "size"), [(4, 9), (8, 16), (16, 12)])
def test_small_convolutions_and_their_gradients_are_those_of_torch(maps, size, stride):
    torch.manual_seed(0)
    plain = nn.Conv3d(maps, 2 * maps, 3, stride=stride, padding=1, bias=False)
    fast = deepcopy(plain)
    hasten(fast)
    assert type(fast) is SmallConv3d
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        results = []
        for layer in (plain, fast):
            layer.zero_grad()
            images = torch.linspace(-1, 1, maps * size**3).reshape(1, maps, size, size, size)
            images = images.sin().to(memory_format=layout).requires_grad_()
            made = layer(images)
            made.square().sum().backward()
            results.append((made, images.grad, layer.weight.grad))
        for expected, found in zip(*results, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_only_what_torch_would_slow_down_is_replaced():
    body = build_network(toy_recipe()).body
    kinds = {type(m) for m in body.modules() if isinstance(m, nn.Conv3d)}
    assert kinds == {PointwiseConv3d, SmallConv3d}
    assert all(m.kernel_size == (1, 1, 1) for m in body.modules() if type(m) is PointwiseConv3d)
