"""Memory that does not suffice for a network: fewer windows at a time, and a plain word."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from learn_toys import make_visit, toy_recipe
from torch import nn

from bids_synth.errors import UsageError, VisitError
from bids_synth.learn import synthesize
from bids_synth.learn.data.patches import slide, window_starts
from bids_synth.learn.out_of_memory import is_shortage
from bids_synth.learn.synthesize import Synthesizer, load_synthesizer

PATCH = (8, 8, 8)
SHAPE = (20, 20, 20)
CPU = torch.device("cpu")
COUNT = len(window_starts(np.ones(SHAPE), PATCH, 0.5))


class Card:
    """A network on a card that has room for `most` windows."""

    def __init__(self, most: int, error: Exception | None = None) -> None:
        self.most, self.error = most, error or torch.OutOfMemoryError("no room")
        self.shown: list[int] = []

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        self.shown.append(len(windows))
        if len(windows) > self.most:
            raise self.error
        return torch.cat([2 * windows, windows.flip(2)], dim=1)


def slid(card: Card) -> np.ndarray:
    images = np.random.default_rng(0).random((1, *SHAPE), dtype=np.float32)
    return slide(card, images, np.ones(SHAPE, np.uint8), patch=PATCH, overlap=0.5, device=CPU)


@pytest.mark.parametrize("most", [1, 3, COUNT - 1])
def test_fewer_windows_at_a_time_give_the_same_image_and_it_is_said(
    most: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("bids_synth"), "propagate", True)
    roomy, card = Card(COUNT), Card(most)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(slid(card), slid(roomy))
    assert roomy.shown == [COUNT]
    refused = [n for n in card.shown if n > most]
    done = [n for n in card.shown if n <= most]
    assert sum(done) == COUNT, "a window was left out or shown twice"
    assert refused == sorted(refused, reverse=True)
    assert max(done) >= most / 2, "fewer than needed"
    assert caplog.text.count("too little memory for") == len(refused)
    assert f"cpu has too little memory for {COUNT} windows at a time" in caplog.text


def test_no_room_for_one_window_and_other_faults_are_raised() -> None:
    card, odd = Card(0), Card(0, RuntimeError("shapes do not match"))
    with pytest.raises(torch.OutOfMemoryError):
        slid(card)
    assert card.shown[-1] == 1
    with pytest.raises(RuntimeError, match="shapes do not match"):
        slid(odd)
    assert odd.shown == [COUNT], "a fault that is no shortage was tried again"


def test_what_torch_and_numpy_raise_is_known_as_a_shortage() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**50)
    assert is_shortage(refused.value)
    with pytest.raises(MemoryError) as no_array:
        np.empty(2**57)
    assert is_shortage(no_array.value)
    with pytest.raises(RuntimeError) as other:
        torch.ones(2) @ torch.ones(3)
    assert not is_shortage(other.value)


class Greedy(nn.Module):
    """A network that fits nowhere."""

    def forward(self, *_: object) -> torch.Tensor:
        message = "CUDA out of memory. Tried to allocate 20.00 GiB"
        raise torch.OutOfMemoryError(message)

    def to(self, *_: object) -> Greedy:
        self.forward()
        return self


def test_a_visit_or_a_model_that_does_not_fit_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = SimpleNamespace(recipe=toy_recipe(), name="toy", networks=lambda: [Greedy()])
    words = "sub-a: cpu has too little memory for one window of 16x16x16; give it more memory"
    with pytest.raises(VisitError, match=words):
        Synthesizer(model, (Greedy(),), CPU).synthesize(make_visit(tmp_path, "a"), "T2w")
    monkeypatch.setattr(synthesize, "resolve_device", torch.device)
    with pytest.raises(
        UsageError, match=r"cuda:0 has too little memory .* of toy; .*--device cpu"
    ):
        load_synthesizer(model, "cuda:0")
