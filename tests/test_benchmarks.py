"""The benchmarks still fit the code that they measure."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import torch

from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import Volume

NAMES = [
    "__main__",
    "growth.__main__",
    "growth.images",
    "growth.one",
    "growth.participants",
    "limits",
    "masks",
    "peers.__main__",
    "peers.contests",
    "peers.loops",
    "peers.monai_script",
    "peers.sampling",
    "quality",
    "quality_table",
    "real.__main__",
    "real.fits",
    "real.measures",
    "real.opening",
    "real.page",
    "real.parts",
    "real.people",
    "real.rivals",
    "real.shipped",
    "stages",
    "tasks",
    "toys",
    "tree",
    "trust.__main__",
    "trust.bed",
    "trust.faults",
    "trust.left_out",
    "trust.page",
    "trust.phantoms",
    "withheld",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_can_be_imported(name: str) -> None:
    import_module(f"benchmarks.{name}")


def scores(kind: str, **methods: float) -> pd.DataFrame:
    """PSNR of four participants, 1, 2, 3 and 4 dB above what is given."""
    rows = [
        {"task": "t", "kind": kind, "recipe": kind, "steps": 9, "seconds": 3.0, "method": method,
         "participant": str(n), "protocol": "masked3d", "psnr": value + n, "ssim": np.nan}
        for method, value in methods.items()
        for n in (1, 2, 3, 4)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_table_shows_the_start_and_standard_errors(tmp_path) -> None:
    from benchmarks.quality_table import quality_page, table_rows

    rows = pd.concat(
        [scores("classic", model=10, copy=12), scores("modern", model=20, start=19, copy=12)]
    )
    notes = tmp_path / "notes.md"
    notes.write_text("the end")
    page = quality_page(rows, title="x", options="", seconds=3, spacing=3, notes=notes)
    (line,) = (line for line in page.splitlines() if line.startswith("| t | masked3d"))
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    error = np.std([1, 2, 3, 4], ddof=1) / 2
    assert cells[5].startswith(f"22.50 +- {error:.2f} [")
    assert cells[6].startswith(f"modern 21.50 +- {error:.2f} [")
    assert "start 21.50" in cells[7], "the start is a baseline to beat"
    assert cells[9].startswith("+1.00 +- 0.00 [")
    (row,) = table_rows(rows)
    assert not row.has_start("classic")
    assert row.over_start("modern").tolist() == [1.0] * 4


def test_the_benchmark_scans_lie_on_no_recipes_grid() -> None:
    from benchmarks.quality import THICK, thick

    affine = np.diag([0.0, 0, 0, 1])
    affine[0, 2], affine[1, 0], affine[2, 1] = -2.4, 2.4, 2.4
    scan = thick(Volume(np.ones((8, 9, 10), np.float32), Grid((8, 9, 10), affine)))
    assert scan.grid.spacing == pytest.approx((2.4, 2.4 * THICK, 2.4))
    assert scan.grid.orientation == "ASL"


def test_operations_of_quick_ways_are_those_of_the_plain_ones() -> None:
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.operations import counting
    from bids_synth.learn.networks.blocks.convolution import SmallConv3d
    from bids_synth.learn.networks.blocks.product import linear

    values, layer = torch.rand(50, 20, requires_grad=True), nn.Linear(20, 30)
    maps = torch.rand(1, 4, 6, 7, 8, requires_grad=True)
    small, plain = SmallConv3d(4, 5, 3, padding=1, bias=False), nn.Conv3d(4, 5, 3, padding=1)
    with FlopCounterMode(display=False) as known:
        layer(values).sum().backward()
        plain(maps).sum().backward()
    with counting() as counter:
        linear(values, layer.weight, layer.bias).sum().backward()
        small(maps).sum().backward()
    assert counter.get_total_flops() == known.get_total_flops()
