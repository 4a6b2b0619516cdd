"""The test bed of broken inputs: every fault is really in the scans, and every miss is told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.trust.bed import CLEAN, Job, with_faults
from benchmarks.trust.faults import FAULTS, Scans
from benchmarks.trust.page import broken_section, held_rows, held_section
from bids_synth.core.tissue.levels import TissueLevels
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume

SHAPE = (40, 48, 40)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
AFFINE[:3, 3] = -4.0 * (np.array(SHAPE) - 1) / 2
GRID = Grid(SHAPE, AFFINE)
PLACES = GRID.to_mm(np.stack(np.indices(SHAPE), -1).reshape(-1, 3)).reshape(*SHAPE, 3)
RADII = np.linalg.norm(PLACES, axis=-1)


def head(white, grey, fluid, seed):
    """A ball of white matter in grey matter, with fluid in its middle."""
    array = np.select([RADII < 15, RADII < 50, RADII < 65], [fluid, white, grey], 0.0)
    noise = 2 * np.random.default_rng(seed).normal(size=SHAPE)
    return Volume((array + noise * (array > 0)).astype(np.float32), GRID)


def visit(first="T1w"):
    images = {first: head(100, 70, 30, 0), "T2w": head(100, 140, 300, 1)}
    levels = {first: TissueLevels(100, 70, 30), "T2w": TissueLevels(100, 140, 300)}
    other = {first: head(90, 60, 20, 2), "T2w": head(110, 150, 280, 3)}
    return Scans(images, levels, other)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_changes_the_scan_that_breaks_and_keeps_it_readable(name):
    scans = visit("cbf" if "unit" in name else "T1w")
    broken = FAULTS[name](scans, np.random.default_rng(0))
    assert broken is not None
    assert set(broken) == set(scans.images)
    changed = [
        m for m, v in broken.items()
        if v.grid.shape != scans.images[m].grid.shape
        or not np.allclose(v.grid.affine, scans.images[m].grid.affine)
        or not np.allclose(v.array, scans.images[m].array, atol=1e-3)
    ]  # fmt: skip
    assert ("T2w" if "another" in name else scans.first) in changed
    assert all(np.isfinite(v.array).all() and v.array.dtype == np.float32 for v in broken.values())


def test_an_infant_has_its_tissues_the_other_way_round():
    broken = FAULTS["infant contrast"](visit(), np.random.default_rng(0))["T1w"].array
    shell, core = (RADII > 52) & (RADII < 63), (RADII > 20) & (RADII < 48)
    assert np.median(broken[core]) == pytest.approx(70, abs=2)
    assert np.median(broken[shell]) == pytest.approx(100, abs=2)


def test_a_fault_that_a_visit_cannot_have_is_left_out():
    alone = Scans({"T2w": head(100, 140, 300, 1)}, {}, {})
    rng = np.random.default_rng(0)
    for name in ("contrasts swapped", "scan of another person", "contrast agent"):
        assert FAULTS[name](alone, rng) is None
    assert FAULTS["wrong unit (map times 10)"](alone, rng) is None


def rows():
    job = Job("impute", (), "PDw", ("T1w", "T2w"))
    found = [
        {"visit": "01", "sources": "T1w+T2w", "level": "pass", "strangeness": 1.0, "why": ""},
        {"visit": "02", "sources": "T1w+T2w", "level": "review", "strangeness": 5.0, "why": "odd"},
        {"visit": "01x00", "sources": "T1w+T2w", "level": "fail", "strangeness": 9.0, "why": "x"},
        {"visit": "01x02", "sources": "T1w+T2w", "level": "pass", "strangeness": 2.5, "why": ""},
    ]
    return with_faults(found, {"02x11": "no head"}, job)


def test_every_miss_and_every_false_alarm_is_listed():
    table = rows()
    assert table.loc[table["visit"] == "01", "fault"].item() == CLEAN
    assert table.loc[table["visit"] == "01x02", "fault"].item() == "motion ghosts"
    text = broken_section({"phantoms": table})
    assert "2 of 3 broken images are flagged (67 %" in text
    assert "1 of 2 clean ones (50 %" in text
    misses, alarms = text.split("False alarms:")
    assert "- phantoms, 01, motion ghosts, T1w+T2w, strangeness 2.5" in misses
    assert "- phantoms, 02, nothing, T1w+T2w: odd" in alarms


def test_the_table_of_intervals_has_mean_lowest_and_highest():
    keys = {"target": "ct", "sources": "T1w", "half_width": 20.0, "error": 10.0}
    coverage = pd.DataFrame(
        [{**keys, "region": "mask", "coverage": c, "participant": "1"} for c in (0.8, 0.9, 1.0)]
    )
    text = held_section(held_rows("T1w to CT", coverage, "3 s"), ["- mean"])
    line = next(line for line in text.splitlines() if "T1w to CT" in line)
    assert "**90.0** (80 to 100)" in line
    assert line.endswith("2.0 | 3 s |")
