"""Preparation: 1 mm visits from nothing, side by side and again; a real head; one image back."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.stages.measured import SEED, Measured, clock
from bids_synth.core.visit import Prepared, Visit

HEAD = Path(__file__).resolve().parents[3] / "shared" / "data" / "head"
SAME = 20
"""Visits that are looked at again."""


def preparation(work: Path) -> list[Measured]:
    """Three-modality 1 mm visits, and a real head of finer voxels where one is there."""
    from bids_synth.bids.raw.query import query
    from bids_synth.demo.dataset import make_demo
    from bids_synth.recipe.recipe import load_recipe

    dataset = work / "one-mm-pair"
    if not dataset.exists():
        make_demo(dataset, participants=2, resolution=1.0, seed=SEED)
    visits = query(dataset, load_recipe("impute")).visits[:2]
    place = work / f"prepare-{time.time_ns()}"
    cold, prepared = _timed(visits[:1], place, "a visit of three modalities, 1 mm, cold")
    cold.most_seconds = 25.0
    cores = len(os.sched_getaffinity(0))
    pair, _ = _timed(visits, place / "pair", f"two such visits on {cores} cores, seconds a visit")
    pair.seconds /= 2
    results = [cold, pair, _unchanged(visits[0], place), *_steps(prepared)]
    if HEAD.exists():
        heads = query(HEAD, load_recipe("impute")).visits[:1]
        results.append(_timed(heads, place / "head", "a real head alone, 0.7 mm, cold")[0])
    else:
        print(f"preparation: real scans are not there: {HEAD}", file=sys.stderr)
    return results


def _timed(visits: Sequence[Visit], place: Path, title: str) -> tuple[Measured, Prepared]:
    """The preparation of visits, and the first of them prepared."""
    from bids_synth.prepare.workflow.workflow import prepare_visits
    from bids_synth.recipe.recipe import load_recipe

    paths = [scan.path for visit in visits for scan in visit.scans.values()]
    size = float(sum(2 * 4 * np.prod(_shape(path)) for path in paths))
    result = Measured(f"prepare: {title}", 0.0, size=size)
    with clock(result):
        prepared, problems = prepare_visits(
            visits,
            load_recipe("impute"),
            work=place,
            seed=SEED,
            skull_strip="auto",
            nprocs=len(os.sched_getaffinity(0)),
            memory_gb=8.0,
        )
    assert not problems, problems
    return result, prepared[visits[0].label]


def _unchanged(visit: Visit, place: Path) -> Measured:
    """What a visit adds that was prepared before: `SAME` copies of one, less a single one."""
    from bids_synth.prepare.workflow.workflow import workflow_name

    (base,) = place.glob("*/prepare")
    first = base / workflow_name(visit)
    visits = []
    for number in range(SAME):
        twin = replace(visit, participant=f"twin{number:02}", scans={})
        scans = {}
        for modality, scan in visit.scans.items():
            copy = place / "twins" / twin.participant / scan.path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(scan.path, copy)
            scans[modality] = replace(scan, path=copy)
        shutil.copytree(first, base / workflow_name(twin))
        visits.append(replace(twin, scans=scans))
    fixed, _ = _timed(visits[:1], place, "")
    result, _ = _timed(visits, place, f"one unchanged visit more, of {SAME}")
    result.seconds = (result.seconds - fixed.seconds) / (SAME - 1)
    result.most_seconds = 0.1
    return result


def _shape(path: Path) -> tuple[int, ...]:
    from bids_synth.spatial.volume import read_grid

    return read_grid(path).shape


def _steps(prepared: Prepared) -> list[Measured]:
    from bids_synth.prepare.native import to_native
    from bids_synth.spatial.volume import read_volume

    volume = read_volume(prepared.images[prepared.reference])
    size = float(volume.array.nbytes) + 4 * float(np.prod(prepared.native.shape))
    result = Measured("prepare: one image back to the native grid", 0.0, size=size)
    with clock(result):
        to_native(volume, prepared)
    return [result]
