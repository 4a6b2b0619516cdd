"""The tissue network's fit: blocks and back, its loss, and a fit that goes on where it stopped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn_heads import ball
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_synth.segmentation.network import TissueNetwork, into_blocks, out_of_blocks
from training import tissue
from training.scanner import Window
from training.tissue import Plan, begin, loss_of, rate_of, seconds, step

CPU = torch.device("cpu")
SIDES = st.tuples(*(st.integers(1, 4),) * 3)


@settings(max_examples=30)
@given(SIDES, st.integers(1, 3))
def test_blocks_come_back_as_they_were(half: tuple[int, int, int], channels: int) -> None:
    image = torch.rand(2, channels, *(2 * n for n in half))
    blocks = into_blocks(image)
    assert blocks.shape == (2, 8 * channels, *half)
    assert torch.equal(blocks[:, 0], image[:, 0, ::2, ::2, ::2])
    assert torch.equal(out_of_blocks(blocks), image)


def test_an_odd_side_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 2"):
        into_blocks(torch.rand(1, 1, 4, 5, 4))


def test_scores_have_the_shape_of_the_image() -> None:
    assert TissueNetwork()(torch.rand(1, 1, 32, 64, 32)).shape == (1, 5, 32, 64, 32)


def test_the_loss_is_least_for_the_truth() -> None:
    shares = torch.nn.functional.one_hot(torch.randint(0, 5, (1, 6, 6, 6))).movedim(-1, 1).float()
    truth = loss_of(50 * shares, shares)
    assert truth < 1e-3
    assert loss_of(50 * shares.roll(1, dims=1), shares) > 10
    # A tissue that is not there weighs nothing in the overlap.
    without = shares.clone()
    without[:, 0] += without[:, 4]
    without[:, 4] = 0
    assert loss_of(50 * without, without) < 1e-3


@pytest.mark.parametrize(
    ("text", "value"), [("2h30", 9000), ("540s", 540), ("15m", 900), ("90", 90), ("1h", 3600)]
)
def test_times_are_read(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "h", "2d", "-5m"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time"):
        seconds(text)


def test_the_rate_rises_and_falls() -> None:
    rates = [rate_of(n, 2000) for n in range(2000)]
    assert np.argmax(rates) in range(190, 210)
    assert max(rates) <= tissue.RATE
    assert rates[-1] < 1e-4 * tissue.RATE


def test_a_fit_goes_on_to_the_bit(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tissue, "COARSE", Window((64, 32, 32), 2.0))
    monkeypatch.setattr(tissue, "CLOSE", Window((64, 32, 32), 1.5))
    plan, heads = Plan((), 4, 1, 3), [ball()]
    whole = begin(plan, CPU)
    losses = [step(whole, plan, heads, CPU) for _ in range(4)]
    first = begin(plan, CPU)
    for _ in range(2):
        step(first, plan, heads, CPU)
    first.save(tmp_path / "state.pt")
    again = begin(plan, CPU)
    again.load(tmp_path / "state.pt", CPU)
    assert [step(again, plan, heads, CPU) for _ in range(2)] == losses[2:]
    for one, other in zip(again.average.parameters(), whole.average.parameters(), strict=True):
        assert torch.equal(one, other)
