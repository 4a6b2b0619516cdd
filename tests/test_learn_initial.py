"""The classics start from the published weights: N(0, 0.02), gains N(1, 0.02), biases 0."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bids_synth.errors import RecipeError
from bids_synth.learn.networks import build_network, network_parameters
from bids_synth.learn.networks.blocks.initial import draw_normal
from bids_synth.learn.networks.discriminator import PatchDiscriminator
from bids_synth.learn.objectives.adversarial import build_discriminator
from bids_synth.recipe.recipe import load_recipe

CLASSICS = ("mmgan", "cyclegan", "pix2pix-ct")
SMALL = {"network.filters": "16", "objective.discriminator.filters": "16"}
USUAL = {"network.initial": "usual", "objective.discriminator.initial": "usual"}


def judge_of(recipe):
    part = recipe.objective.discriminator
    return build_discriminator(recipe, part, maps=2, keep=False, seed=1)


def weights_of(network: nn.Module) -> list[torch.Tensor]:
    """The large weights: their statistics are sharp."""
    found = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    return [weight.detach() for weight in found if weight.numel() > 2000]


def are_published(weights: list[torch.Tensor]) -> bool:
    spread = all(abs(float(w.std()) / 0.02 - 1) < 0.06 for w in weights)
    centred = all(abs(float(w.mean())) < 0.02 * 5 / w.numel() ** 0.5 for w in weights)
    # The fourth moment of a normal distribution is 3, that of PyTorch's uniform one 1.8.
    normal = all(2.6 < float((w / w.std()).pow(4).mean()) < 3.4 for w in weights)
    return spread and centred and normal


@pytest.mark.parametrize("name", CLASSICS)
def test_generator_and_discriminator_of_a_classic_are_drawn_as_published(name):
    torch.manual_seed(0)
    recipe = load_recipe(name, SMALL)
    for network in (build_network(recipe), judge_of(recipe)):
        assert len(weights_of(network)) > 2
        assert are_published(weights_of(network))
        biases = [p for n, p in network.named_parameters() if n.endswith("bias")]
        assert biases
        assert all(not bias.any() for bias in biases)
    usual = load_recipe(name, SMALL | USUAL)
    assert not are_published(weights_of(build_network(usual)))
    assert not are_published(weights_of(judge_of(usual)))


def test_gains_of_norms_are_drawn_about_1_and_shifts_are_0():
    torch.manual_seed(0)
    norm = draw_normal(nn.GroupNorm(8, 4096))
    assert float(norm.weight.mean()) == pytest.approx(1, abs=0.002)
    assert float(norm.weight.std()) == pytest.approx(0.02, rel=0.06)
    assert not norm.bias.any()
    assert draw_normal(nn.InstanceNorm2d(4)).weight is None


def test_a_spectral_discriminator_is_drawn_before_it_is_normalised():
    torch.manual_seed(0)
    network = PatchDiscriminator(maps=2, filters=16, spectral=True, initial="normal").eval()
    body = [m for m in network.body if isinstance(m, nn.Conv2d)]
    originals = [m.parametrizations.weight.original.detach() for m in body]
    assert are_published([w for w in originals if w.numel() > 2000])
    for module in body:
        largest = torch.linalg.matrix_norm(module.weight.flatten(1), 2)
        assert float(largest) == pytest.approx(1, abs=0.15)


def test_the_same_seed_draws_the_same_and_the_key_changes_no_shape():
    recipe = load_recipe("mmgan", SMALL)
    usual = load_recipe("mmgan", SMALL | USUAL)
    assert network_parameters(recipe) == network_parameters(usual)
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_network(recipe).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert recipe.digest() != usual.digest()


def test_other_words_and_other_networks_are_refused():
    with pytest.raises(RecipeError, match=r"network\.initial: .*'usual' or 'normal'"):
        load_recipe("mmgan", {"network.initial": "xavier"})
    with pytest.raises(RecipeError, match=r"network\.initial: unknown key"):
        load_recipe("impute", {"network.initial": "normal"})
