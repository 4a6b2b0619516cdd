"""The line that a fit shows: the time that is left is that of the steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bids_synth.learn.fit.member import Member
from bids_synth.learn.fit.record import Record
from bids_synth.recipe.recipe import load_recipe


def test_reading_the_visits_is_not_counted_among_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("tqdm.std.time", lambda: now)
    record = Record(Member(load_recipe("impute"), 0, 0, 1, "key", tmp_path))
    with record.shown(0, quiet=False):
        record.start_clocks()
        now = 600.0
        for step in range(20):
            record.begin_step()
            now += 2.0
            record.end_step(torch.tensor(1.0), step + 1)
        known = record._bar.format_dict
        assert known["elapsed"] == pytest.approx(40.0)
        assert (known["total"] - known["n"]) * known["elapsed"] / known["n"] == pytest.approx(
            2.0 * (load_recipe("impute").fit.steps - 20)
        )
