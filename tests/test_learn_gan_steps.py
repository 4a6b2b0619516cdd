"""Steps of the adversarial objectives: who learns when, and what the discriminators see."""

from __future__ import annotations

import pytest
import torch
from learn_objective_toys import OBJECTIVES as TOYS
from learn_objective_toys import toy_of

from bids_synth.errors import RecipeError
from bids_synth.learn.fit import loop
from bids_synth.learn.networks import build_network
from bids_synth.learn.objectives import OBJECTIVES
from bids_synth.learn.objectives.losses import masked_l1
from bids_synth.recipe.recipe import validate_recipe

AVAILABLE = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
SCORED = torch.tensor([[False, True, False], [True, False, False]])
"""The second item lacks T2w: it is neither given nor scored."""


def build(name, changes=None, **fit):
    recipe = toy_of(name, changes=changes, **fit)
    torch.manual_seed(1)
    return OBJECTIVES[name](recipe, build_network(recipe), steps=12, seed=3)


def batch_of(objective):
    torch.manual_seed(2)
    patch = objective.recipe.fit.patch
    if objective.recipe.unpaired:
        return {"sources": torch.rand(2, 2, *patch), "mask": torch.ones(2, 2, *patch)}
    mask = torch.ones(2, 1, *patch)
    mask[:, :, :4] = 0
    images = torch.rand(2, 3, *patch) * mask
    return {
        "sources": images * AVAILABLE[:, :, None, None, None],
        "available": AVAILABLE,
        "real": images * SCORED[:, :, None, None, None],
        "scored": SCORED,
        "mask": mask,
    }


def parameters_of(optimizer):
    return optimizer.param_groups[0]["params"]


def step_by_hand(objective, batch):
    """Learn once; for each player's turn the parameters with gradients and those that moved."""
    named = dict(objective.named_parameters())
    players = [parameters_of(optimizer) for optimizer in objective.optimizers()]
    optimizers = [torch.optim.SGD(parameters, lr=0.1) for parameters in players]
    turns = {}
    for number, loss in enumerate(objective.losses(batch)):
        before = {n: p.detach().clone() for n, p in named.items()}
        objective.zero_grad(set_to_none=True)
        loss.backward()
        optimizers[number].step()
        with_gradient = {n for n, p in named.items() if p.grad is not None}
        moved = {n for n, p in named.items() if not torch.equal(p, before[n])}
        turns[number] = (with_gradient, moved)
    return turns


@pytest.mark.parametrize("name", TOYS)
def test_each_player_learns_in_its_own_turn_alone(name):
    objective = build(name)
    objective.steps_done = 11
    turns = step_by_hand(objective, batch_of(objective))
    assert set(turns) == {0, 1}
    for number, start in ((0, "network."), (1, "discriminator")):
        with_gradient, moved = turns[number]
        assert moved
        assert all(n.startswith(start) for n in with_gradient | moved)
    players = [parameters_of(optimizer) for optimizer in objective.optimizers()]
    assert not {id(p) for p in players[0]} & {id(p) for p in players[1]}
    assert all(p.requires_grad for player in players for p in player)
    assert not any("discriminator" in n for n, _ in objective.average.named_parameters())


def test_before_its_start_the_discriminator_neither_learns_nor_counts():
    objective = build("conditional-gan", {"start": 0.5})
    objective.steps_done = 5
    assert set(step_by_hand(objective, batch_of(objective))) == {0}
    assert objective.health() == {}
    objective.steps_done = 6
    assert set(step_by_hand(objective, batch_of(objective))) == {0, 1}
    assert set(objective.health()) == {"discriminator_loss", "discriminator_accuracy"}
    never = build("conditional-gan", {"adversarial": 0.0, "start": 0.0})
    assert set(step_by_hand(never, batch_of(never))) == {0}


def seen_by_discriminator(objective, batch):
    """What the discriminator is shown: generator's turn, then real and synthetic; none learns."""
    seen = []
    hook = objective.discriminator.register_forward_pre_hook(
        lambda _, given: seen.append(given[0].detach().clone())
    )
    objective.steps_done = 11
    torch.manual_seed(7)
    list(objective.losses(batch))
    hook.remove()
    return seen


@pytest.mark.parametrize("name", ["conditional-gan", "any-missing-gan"])
def test_no_condition_holds_a_real_target(name):
    objective = build(name)
    batch = batch_of(objective)
    other = batch | {"real": batch["real"] * 0.3}
    one, two = (seen_by_discriminator(objective, b) for b in (batch, other))
    count = objective.condition_maps
    assert [s.shape[1] for s in one] == [count + 3] * 3
    for first, second in zip(one, two, strict=True):
        assert torch.equal(first[:, :count], second[:, :count])
    fooling, real, synthetic = range(3)
    assert torch.equal(one[fooling], two[fooling])
    assert torch.equal(one[synthetic], two[synthetic])
    for seen, given in ((one, batch), (two, other)):
        rows = seen[real][:, count:][SCORED]
        assert torch.equal(rows, given["real"][SCORED])
    for seen in one:
        assert torch.equal(seen[:, :3], batch["sources"])
        assert not (seen[:, count:] * (1 - batch["mask"])).any()


def test_conditional_candidates_hold_scored_targets_only():
    objective = build("conditional-gan")
    for parameter in objective.network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    for seen in seen_by_discriminator(objective, batch_of(objective)):
        assert not seen[:, 3:][~SCORED].any()
        assert seen[:, 3:][SCORED].any()


def test_given_images_stand_in_the_candidate_as_they_were_given():
    objective = build("any-missing-gan")
    batch = batch_of(objective)
    given = AVAILABLE > 0
    for seen in seen_by_discriminator(objective, batch):
        shown = seen[:, 3:6, 0, 0, 0]
        assert torch.equal(shown, AVAILABLE)
        assert torch.equal(seen[:, 6:][given], batch["sources"][given])
        lacking = ~(given | SCORED)
        assert lacking.sum() == 1
        assert not seen[:, 6:][lacking].any()
    marks = objective.marks(batch)
    assert torch.equal(marks.labels, AVAILABLE)
    assert torch.equal(marks.counted > 0, given | SCORED)
    assert torch.equal(marks.watched > 0, SCORED)


@pytest.mark.parametrize("name", ["conditional-gan", "any-missing-gan"])
def test_the_generators_loss_is_that_of_the_published_equation(name):
    """L1 on the missing images plus the weighted squared distance from `real`."""
    objective = build(
        name, {"gan": "lsgan", "l1": 0.9, "l2": 0.0, "adversarial": 0.1, "start": 0.0,
               "emphasis": {"weight": 1.0}},
    )  # fmt: skip
    objective.eval()
    batch = batch_of(objective)
    loss = next(objective.losses(batch))
    made = objective.network(batch["sources"], batch["available"])
    mask = batch["mask"].expand_as(made)[SCORED]
    expected = 0.9 * masked_l1(made[SCORED], batch["real"][SCORED], mask)
    logits = objective.judge(batch, objective.candidate(batch, made))
    if name == "any-missing-gan":
        known = (AVAILABLE > 0) | SCORED
        logits = logits[known]
    expected = expected + 0.1 * ((logits - 1) ** 2).mean()
    torch.testing.assert_close(loss, expected)


def test_the_cycles_loss_is_that_of_the_published_equation():
    objective = build(
        "cycle-gan",
        {"adversarial": 1.0, "cycle": 10.0, "identity": 5.0, "structure": 0.0, "pool": 0},
    )
    objective.eval()
    for parameter in objective.network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    batch = batch_of(objective)
    losses = list(objective.losses(batch))
    a, b = batch["sources"].split(1, dim=1)
    to_b, to_a = objective.network.ways
    (of_a, of_b), ones = objective.discriminators, torch.ones(2, 1)
    made_a, made_b = to_a(b, ones), to_b(a, ones)
    expected = ((of_a(made_a) - 1) ** 2).mean() + ((of_b(made_b) - 1) ** 2).mean()
    expected = expected + 10 * (to_a(made_b, ones) - a).abs().mean()
    expected = expected + 10 * (to_b(made_a, ones) - b).abs().mean()
    expected = expected + 5 * ((to_a(a, ones) - a).abs().mean() + (to_b(b, ones) - b).abs().mean())
    torch.testing.assert_close(losses[0], expected)
    real = ((of_a(a) - 1) ** 2).mean() + ((of_b(b) - 1) ** 2).mean()
    judged = (real + (of_a(made_a) ** 2).mean() + (of_b(made_b) ** 2).mean()) / 2
    torch.testing.assert_close(losses[1], judged)


def test_a_discriminator_too_deep_for_its_patches_is_a_fault_of_the_recipe():
    with pytest.raises(RecipeError, match=r"need patches of at least 24"):
        toy_of("conditional-gan", changes={"discriminator": {"layers": 3, "tail": 2}})
    for layers, tail in ((1, 1), (1, 2), (2, 1)):
        judge = {"filters": 4, "layers": layers, "tail": tail}
        objective = build("any-missing-gan", {"discriminator": judge})
        step_by_hand(objective, batch_of(objective))


def test_discriminators_depend_on_the_seed_alone():
    one, two = (build("conditional-gan").discriminator for _ in range(2))
    torch.rand(3)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


class Doubled(torch.nn.Module):
    """Features of an image: itself, and a multiple by a number that could be learned."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, image):
        return [image, self.gain * image]


@pytest.mark.parametrize("name", ["regression", "conditional-gan"])
def test_features_are_compared_and_do_not_learn(name):
    own = {"features": 0.5, "features_from": "thresholds"} if name == "conditional-gan" else None
    recipe = toy_of(name, changes=own)
    if own is None:
        data = recipe.model_dump(mode="json")
        data["objective"] |= {"features": 0.5, "features_from": "thresholds"}
        recipe = validate_recipe(data, origin="features")
    network = build_network(recipe)
    arguments = {"steps": 12, "seed": 3}
    objective = OBJECTIVES[name](recipe, network, features=Doubled(), **arguments)
    batch = batch_of(objective)
    losses = [next(objective.losses(batch)).detach()]
    objective.features = None
    losses.append(next(objective.losses(batch)).detach())
    made = network(batch["sources"], batch["available"])
    error = ((made - batch["real"]).abs() * batch["mask"])[SCORED].mean()
    torch.testing.assert_close(losses[0] - losses[1], 0.5 * (1 + 2) * error)
    assert len(objective.optimizers()) == (1 if own is None else 2)
    with pytest.raises(RecipeError, match="features_from"):
        OBJECTIVES[name](recipe, network, **arguments)


def test_under_mixed_precision_gradients_are_summed_in_32_bits_and_nothing_is_said(
    monkeypatch, capfd
):
    """A cached copy of a weight would sum those of two passes in 16 bits."""
    device, before = torch.device("cpu"), torch.is_autocast_cache_enabled()
    monkeypatch.setattr(loop, "precision_on", lambda _: "bf16-mixed")
    with loop.calm(device), loop.fabric_on(device).autocast():
        assert torch.is_autocast_enabled("cpu")
        assert not torch.is_autocast_cache_enabled()
    assert torch.is_autocast_cache_enabled() == before
    assert capfd.readouterr() == ("", "")
