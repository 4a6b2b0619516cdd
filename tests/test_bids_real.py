"""Query: the real datasets beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_synth.bids.raw.query import query
from bids_synth.recipe.recipe import load_recipe

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.mark.real
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real scans in {SHARED}")
def test_every_real_visit_is_found_with_its_modalities() -> None:
    recipe = load_recipe("impute", {"modalities.T1wGd": "either"})
    stripped = query(SHARED / "stripped", recipe)
    assert [v.label for v in stripped.visits] == [
        f"sub-{label}" for label in ("ms07", "ms26", "stroke01", "tcga6692", "tcga7294")
    ]
    assert all({*v.scans} - {"T1wGd"} == {"T1w", "T2w", "FLAIR"} for v in stripped.visits)
    assert sum("T1wGd" in v.scans for v in stripped.visits) == 4
    raw = query(SHARED / "ms-raw", recipe, sessions=["2"])
    assert [v.label for v in raw.visits] == ["sub-01_ses-2"]
    head = [query(SHARED / "averages", load_recipe(name)) for name in ("ct", "pet")]
    assert [{*found.visits[0].scans} for found in head] == [{"T1w", "ct"}, {"T1w", "pet"}]
    assert not any(found.problems for found in (stripped, raw, *head))
