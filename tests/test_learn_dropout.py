"""Dropout keeps as many values as it says, each by itself, and their mean."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bids_synth.learn.networks.blocks.dropout import Dropout


@given(seed=st.integers(0, 2**31), chance=st.floats(0.02, 0.95), count=st.integers(1, 9))
def test_kept_values_are_divided_by_their_share_and_so_are_gradients(
    seed: int, chance: float, count: int
) -> None:
    torch.manual_seed(seed)
    values = torch.randn(count, 3, requires_grad=True)
    found = Dropout(chance)(values)
    found.sum().backward()
    kept = found != 0
    torch.testing.assert_close(found[kept], values[kept] / (1 - chance), rtol=1e-3, atol=0)
    assert torch.equal(values.grad != 0, kept)


@pytest.mark.parametrize("chance", [0.15, 0.5, 0.9])
def test_every_bit_of_the_numbers_drawn_is_by_chance(chance: float) -> None:
    """Each of the four values that one number decides, alone and together with its neighbour."""
    torch.manual_seed(1)
    kept = (Dropout(chance)(torch.ones(4_000_000)) != 0).view(-1, 4).double()
    share = 1 - chance
    error = 5 * (share * chance / len(kept)) ** 0.5
    assert (kept.mean(dim=0) - share).abs().max() < error
    together = torch.corrcoef(kept.T) - torch.eye(4)
    assert together.abs().max() < 5 / len(kept) ** 0.5
    assert abs(torch.corrcoef(torch.stack([kept[:-1, 3], kept[1:, 0]]))[0, 1]) < 0.005


def test_the_seed_decides_and_nothing_is_dropped_outside_of_fitting() -> None:
    values = torch.randn(5, 7)
    drop = Dropout(0.3)
    results = []
    for _ in range(2):
        torch.manual_seed(4)
        results.append(drop(values))
    assert torch.equal(*results)
    assert torch.equal(drop.eval()(values), values)
    assert torch.equal(Dropout(0.0)(values), values)
