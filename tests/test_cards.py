"""What must hold on a CUDA card and can be seen without one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bids_synth.learn.device import resolve_device
from bids_synth.learn.fit.follower import card_of
from bids_synth.learn.objectives.adversarial import Health
from bids_synth.learn.objectives.objective import update_average
from bids_synth.spatial.template import template_grid, template_t1w


@pytest.mark.parametrize("ask", [lambda: resolve_device("cuda:1"), lambda: card_of("auto", 3)])
def test_a_card_computes_float32_in_float32(ask, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    switches = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = True
        assert ask() == torch.device("cuda", 1)
        assert [switch.allow_tf32 for switch in switches] == [False, False]
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value


@given(st.floats(0, 1), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_the_average_is_what_each_parameter_alone_would_give(decay: float, seed: int) -> None:
    torch.manual_seed(seed)
    average, network = (nn.Sequential(nn.Conv3d(2, 3, 3), nn.Linear(4, 5)) for _ in range(2))
    average.to(memory_format=torch.channels_last_3d)
    expected = [
        torch.lerp(kept, fresh, 1 - decay)
        for kept, fresh in zip(average.parameters(), network.parameters(), strict=True)
    ]
    update_average(average, network, decay)
    for kept, wanted in zip(average.parameters(), expected, strict=True):
        torch.testing.assert_close(kept, wanted, rtol=0, atol=0)


def test_health_goes_on_from_its_state_whatever_counted() -> None:
    torch.manual_seed(1)
    whole, half = Health("lsgan"), Health("lsgan")
    steps = [(torch.rand(2, 2, 3, 1, 1), torch.rand(2, 2, 3, 1, 1)) for _ in range(4)]
    counts = [torch.tensor([[n % 2 == 0, n == 2]] * 2) for n in range(4)]
    for number, (step, counted) in enumerate(zip(steps, counts, strict=True)):
        whole.add(*step, counted)
        if number == 2:
            state, half = half.state(), Health("lsgan")
            assert len(state) == 2 + 2 * 1, "a step in which nothing counts is not kept"
            half.resume(state)
        half.add(*step, counted)
    assert half.state() == pytest.approx(whole.state())
    assert half.close() == pytest.approx(whole.close())


def test_the_grid_of_the_template_is_that_of_its_file() -> None:
    grid, file = template_grid(), template_t1w().grid.canonical()
    assert grid.shape == file.shape
    assert (grid.affine == file.affine).all()
