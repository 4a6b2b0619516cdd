"""Parts of the adversarial objectives against closed forms and other implementations."""

from __future__ import annotations

import logging
from math import log

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from bids_synth.learn.objectives.adversarial import (
    DEAD,
    Health,
    errors,
    gradient_penalty,
    mean_where,
    resting,
)
from bids_synth.learn.objectives.pool import Pool
from bids_synth.learn.objectives.structure import descriptors, structure_loss


@pytest.mark.parametrize(("gan", "loss"), [("lsgan", nn.MSELoss()), ("vanilla", None)])
def test_errors_are_torchs_own_losses(gan, loss):
    torch.manual_seed(1)
    logits = torch.randn(3, 2, 4, 5, 1)
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    wanted = labels[:, :, None, None, None].expand_as(logits)
    expected = (loss or nn.BCEWithLogitsLoss())(logits, wanted)
    torch.testing.assert_close(errors(logits, labels, gan).mean(), expected)


def test_only_counted_maps_enter_a_mean():
    values = torch.arange(8.0).view(2, 2, 2, 1, 1)
    counted = torch.tensor([[True, False], [False, True]])
    assert mean_where(values, counted) == (0 + 1 + 6 + 7) / 4
    assert mean_where(values, torch.zeros(2, 2)) == 0


def test_the_penalty_of_a_linear_judge_is_half_its_squared_weights():
    """Patches that do not overlap, so that each judgement has the gradient w."""
    torch.manual_seed(1)
    judge = nn.Conv2d(2, 1, 4, stride=4)
    images = torch.randn(3, 2, 16, 12, requires_grad=True)
    penalty = gradient_penalty(judge(images)[..., None], images)
    torch.testing.assert_close(penalty, 0.5 * judge.weight.square().sum())
    penalty.backward()
    torch.testing.assert_close(judge.weight.grad, judge.weight.detach())


def test_a_resting_player_hands_gradients_on_and_keeps_none():
    judge, image = nn.Linear(3, 1), torch.ones(1, 3, requires_grad=True)
    judge.bias.requires_grad_(False)
    with resting(judge):
        judge(image).sum().backward()
    assert judge.weight.grad is None
    torch.testing.assert_close(image.grad, judge.weight.detach())
    assert [p.requires_grad for p in judge.parameters()] == [True, False]


def answers(health, real, synthetic, epochs, counted=((1.0,),)):
    rows = []
    for _ in range(epochs):
        for _ in range(2):
            made = [torch.full((1, len(counted[0]), 2, 2, 1), v) for v in (real, synthetic)]
            health.add(*made, torch.tensor(counted))
        rows.append(health.close())
    return rows


@pytest.mark.parametrize(
    ("gan", "answer", "dead"), [("lsgan", 0.5, 0.25), ("vanilla", 0.0, log(2))]
)
def test_the_same_answer_to_everything_is_the_dead_loss(gan, answer, dead, caplog):
    assert DEAD[gan] == dead
    health = Health(gan, "the judge")
    with caplog.at_level(logging.WARNING):
        rows = answers(health, answer, answer, 2)
        assert not caplog.records
        answers(health, answer, answer, 4)
    assert rows[0]["discriminator_loss"] == pytest.approx(dead)
    assert len(caplog.records) == 1
    assert "the judge" in caplog.text
    assert "learning_rate" in caplog.text


def test_a_judge_that_never_errs_is_told_once_and_a_healthy_one_never(caplog):
    with caplog.at_level(logging.WARNING):
        rows = answers(Health("lsgan"), 1.0, 0.0, 5)
    assert rows[0] == {"discriminator_loss": 0.0, "discriminator_accuracy": 1.0}
    assert len(caplog.records) == 1
    assert "without fail" in caplog.text
    caplog.clear()
    healthy = Health("lsgan")
    for _ in range(5):
        # Right about real images, wrong about half of the synthetic ones; then two dead epochs.
        healthy.add(torch.full((1, 1, 2, 1, 1), 0.8), torch.tensor([0.7, 0.1]).view(1, 1, 2, 1, 1),
                    torch.ones(1, 1))  # fmt: skip
        assert healthy.close()["discriminator_accuracy"] == 0.75
        answers(healthy, 0.5, 0.5, 2)
    assert not caplog.records


def test_health_looks_at_counted_maps_and_forgets_the_epoch():
    health = Health("lsgan")
    mixed = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1, 1)
    health.add(mixed, 1 - mixed, torch.tensor([[True, False]]))
    assert health.close() == {"discriminator_loss": 0.0, "discriminator_accuracy": 1.0}
    assert health.close() == {}
    health.add(mixed, mixed, torch.tensor([[False, False]]))
    assert health.close() == {}


def test_a_streak_outlives_an_interruption(caplog):
    first, second = Health("lsgan"), Health("lsgan")
    answers(first, 0.5, 0.5, 2)
    second.resume(first.state())
    with caplog.at_level(logging.WARNING):
        answers(second, 0.5, 0.5, 1)
    assert len(caplog.records) == 1
    third = Health("lsgan")
    third.resume(second.state())
    caplog.clear()
    answers(third, 0.5, 0.5, 3)
    assert not caplog.records


def images(numbers):
    return torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1, 1, 1)


def test_a_pool_shows_new_images_until_it_is_full():
    pool = Pool(4)
    assert torch.equal(pool.exchange(images([0, 1, 2, 3])), images([0, 1, 2, 3]))
    assert torch.cat(pool.state()).flatten().tolist() == [0, 1, 2, 3]
    assert torch.equal(Pool(0).exchange(images([5])), images([5]))


def test_half_of_the_images_of_a_full_pool_are_old_ones():
    torch.manual_seed(1)
    pool, count = Pool(5), 2000
    pool.exchange(images(range(5)))
    inside, swapped = set(range(5)), 0
    for number in range(5, count):
        (shown,) = pool.exchange(images([number])).flatten().tolist()
        if shown != number:
            swapped += 1
            assert shown in inside
            inside = inside - {shown} | {number}
        assert {float(i) for i in pool.state()} == inside
    assert abs(swapped / count - 0.5) < 0.05


def test_a_pool_goes_on_as_it_was_left():
    one, other = Pool(3), Pool(3)
    torch.manual_seed(1)
    one.exchange(images(range(7)))
    other.resume(one.state())
    shown = []
    for pool in (one, other):
        torch.manual_seed(2)
        shown.append(pool.exchange(images(range(10, 20))).flatten().tolist())
    assert shown[0] == shown[1]


def test_what_a_pool_shows_has_no_gradients_and_is_no_view():
    pool, made = Pool(1), images([1.0]).requires_grad_()
    assert not pool.exchange(made).requires_grad
    with torch.no_grad():
        made += 1
    assert float(pool.state()[0]) == 1


def mind(image):
    """The descriptors by scipy, one image."""
    axes = [n for n, length in enumerate(image.shape) if length > 1]
    distances = []
    for axis in axes:
        for way in (-1, 1):
            index = np.clip(np.arange(image.shape[axis]) - way, 0, image.shape[axis] - 1)
            squared = (image - np.take(image, index, axis)) ** 2
            sigma = [0.5 if n in axes else 0 for n in range(3)]
            distances.append(ndimage.gaussian_filter(squared, sigma, mode="nearest", radius=1))
    stack = np.stack(distances)
    variance = stack.mean(axis=0)
    variance = np.clip(variance, max(1e-3 * variance.mean(), 1e-6), 1e3 * variance.mean())
    return np.exp(-(stack - stack.min(axis=0)) / variance)


SHAPES = [(9, 10, 8), (12, 11, 1)]


def texture(shape, seed=0):
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = ndimage.gaussian_filter(noise, [1.0 if n > 1 else 0 for n in shape])
    return torch.from_numpy(smooth / smooth.std() * 0.2 + 0.5)[None, None].float()


@pytest.mark.parametrize("shape", SHAPES)
def test_descriptors_are_those_of_scipy(shape):
    image = texture(shape)
    found = descriptors(image)[0].numpy()
    assert found.shape == (4 if shape[2] == 1 else 6, *shape)
    np.testing.assert_allclose(found, mind(image[0, 0].double().numpy()), atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_structure_ignores_gain_and_offset_and_sees_shifts(shape):
    image, mask = texture(shape), torch.ones(1, 1, *shape)
    for gain, offset in ((0.5, 0.2), (-1.0, 1.0), (3.0, -4.0)):
        assert structure_loss(image, gain * image + offset, mask) < 1e-3
    assert structure_loss(image, image.roll(1, dims=2), mask) > 0.05
    assert structure_loss(image, texture(shape, seed=1), mask) > 0.05
    half = mask.clone()
    half[:, :, 6:] = 0
    other = torch.cat([image[:, :, :8], texture(shape, seed=1)[:, :, 8:]], dim=2)
    usual = image.clone()
    assert structure_loss(usual, other, mask) > 2 * structure_loss(usual, other, half)


@pytest.mark.parametrize("shape", [(4, 5, 4), (5, 6, 1)])
def test_descriptors_can_be_descended(shape):
    image = texture(shape).double().requires_grad_()
    # The usual variance only bounds; its own gradient is left out on purpose, and not active.
    assert torch.autograd.gradcheck(descriptors, image, eps=1e-7, atol=1e-4)
    flat = torch.zeros(1, 1, *shape, requires_grad=True)
    structure_loss(flat, texture(shape), torch.ones(1, 1, *shape)).backward()
    assert torch.isfinite(flat.grad).all()
