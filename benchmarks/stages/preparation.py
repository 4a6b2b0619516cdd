"""Preparation: of a 1 mm visit from nothing and again, and one image back."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from benchmarks.stages.measured import SEED, Measured, clock


def preparation(work: Path) -> list[Measured]:
    """A three-modality 1 mm visit, whole and step by step."""
    from bids_synth.bids.raw.query import query
    from bids_synth.demo.dataset import make_demo
    from bids_synth.prepare.workflow.workflow import prepare_visits
    from bids_synth.recipe.recipe import load_recipe

    dataset = work / "one-mm"
    if not dataset.exists():
        make_demo(dataset, participants=1, resolution=1.0, seed=SEED)
    recipe = load_recipe("impute")
    visits = query(dataset, recipe).visits[:1]
    scans = visits[0].scans
    size = float(sum(2 * 4 * np.prod(_shape(scan.path)) for scan in scans.values()))
    results = []
    place = work / f"prepare-{time.time_ns()}"
    for title in ("cold", "again"):
        result = Measured(f"prepare: {len(scans)} modalities, 1 mm, {title}", 0.0, size=size)
        with clock(result):
            prepared, problems = prepare_visits(
                visits,
                recipe,
                work=place,
                seed=SEED,
                skull_strip="auto",
                nprocs=len(os.sched_getaffinity(0)),
                memory_gb=8.0,
            )
        assert not problems, problems
        results.append(result)
    return results + _steps(next(iter(prepared.values())))


def _shape(path: Path) -> tuple[int, ...]:
    from bids_synth.spatial.volume import read_grid

    return read_grid(path).shape


def _steps(prepared: object) -> list[Measured]:
    from bids_synth.core.visit import Prepared
    from bids_synth.prepare.native import to_native
    from bids_synth.spatial.volume import read_volume

    assert isinstance(prepared, Prepared)
    volume = read_volume(prepared.images[prepared.reference])
    size = float(volume.array.nbytes) + 4 * float(np.prod(prepared.native.shape))
    result = Measured("prepare: one image back to the native grid", 0.0, size=size)
    with clock(result):
        to_native(volume, prepared)
    return [result]
