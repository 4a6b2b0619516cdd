"""The benchmarks still fit the code that they measure."""

from __future__ import annotations

from importlib import import_module

import pytest

NAMES = [
    "limits",
    "masks",
    "objectives",
    "quality",
    "quality_table",
    "stages",
    "tasks",
    "toys",
    "tree",
    "withheld",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_can_be_imported(name: str) -> None:
    import_module(f"benchmarks.{name}")
