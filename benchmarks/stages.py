"""The stages of the main job, each run alone in a fresh process: `python -m benchmarks.stages`."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

SEED = 1
FULL = (182, 218, 182)
"""Voxels of the 1 mm volume that synthesis is timed on."""


@dataclass
class Measured:
    """One stage."""

    stage: str
    seconds: float
    """Wall time of the work, imports left out."""
    peak_gb: float = 0.0
    """Largest resident memory of the process, children included."""
    operations: float = 0.0
    """Floating-point operations of the work, where they can be counted."""
    size: float = 0.0
    """Bytes that the work must at least read and write."""
    note: str = ""


@contextmanager
def clock(result: Measured) -> Iterator[Measured]:
    """Time the body into `result`."""
    start = time.perf_counter()
    yield result
    result.seconds = time.perf_counter() - start


def start_up(_: Path) -> list[Measured]:
    """`bids_synth --version` in a new interpreter."""
    result = Measured("start-up: --version", 0.0)
    command = [sys.executable, "-m", "bids_synth", "--version"]
    with clock(result):
        subprocess.run(command, check=True, capture_output=True)
    return [result]


def index(work: Path) -> list[Measured]:
    """`--dry-run` for one participant of 10,000."""
    from benchmarks.tree import make_tree

    tree = make_tree(work / "tree", 10_000)
    command = [sys.executable, "-m", "bids_synth", str(tree), str(work / "none"), "participant"]
    command += ["--participant-label", "05001", "--dry-run", "-w", str(work / "w")]
    result = Measured("index: --dry-run, 1 of 10,000 participants", 0.0)
    with clock(result):
        subprocess.run(command, check=True, capture_output=True)
    return [result]


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


def fitting(_: Path) -> list[Measured]:
    """One training step of a 3D U-Net by a plain PyTorch loop."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from bids_synth.learn.networks import build_network
    from bids_synth.learn.objectives.paired import paired_loss
    from bids_synth.recipe.recipe import load_recipe

    torch.manual_seed(SEED)
    recipe = load_recipe("ct")
    network = build_network(recipe).to(memory_format=torch.channels_last_3d)
    patch = recipe.fit.patch
    batch = {
        "sources": torch.rand(1, len(recipe.inputs), *patch),
        "available": torch.ones(1, len(recipe.inputs)),
        "real": torch.rand(1, len(recipe.targets), *patch),
        "scored": torch.ones(1, len(recipe.targets), dtype=torch.bool),
        "mask": torch.ones(1, 1, *patch),
    }
    optimizer = torch.optim.AdamW(network.parameters())

    def step() -> None:
        optimizer.zero_grad()
        made = network(batch["sources"], batch["available"])
        paired_loss(made, batch, recipe.objective).backward()
        optimizer.step()

    with FlopCounterMode(display=False) as counter:
        step()
    result = Measured(
        "fit: one step of `ct`, plain loop", 0.0, operations=counter.get_total_flops()
    )
    repeats = 5
    with clock(result):
        for _ in range(repeats):
            step()
    result.seconds /= repeats
    return [result]


def waiting(work: Path) -> list[Measured]:
    """Steps of the default recipe as they are fitted: how long they wait for data."""
    import torch

    from benchmarks.toys import whole_brain
    from bids_synth.learn.data.array_cache import open_store
    from bids_synth.learn.fit.loop import fit_member
    from bids_synth.learn.fit.member import Member
    from bids_synth.learn.fit.selection import LatestSelection
    from bids_synth.learn.networks import build_network
    from bids_synth.recipe.recipe import load_recipe

    steps = 12
    schedule = {"fit.steps": str(2 * steps), "fit.steps_per_epoch": str(steps)}
    recipe = load_recipe("impute", schedule).limited_to(["T1w", "PDw"])
    stored = open_store([whole_brain(work / "brain", FULL)], tuple(recipe.modalities), work)
    place = work / f"member-{time.time_ns()}"
    member = Member(recipe, 0, 0, SEED, "benchmark", place)
    unjudged = LatestSelection(torch.device("cpu"))
    fit_member(member, stored, unjudged, lambda: build_network(recipe), quiet=True)
    row = (member.fitted() or {})["rows"][-1]
    seconds, share = row["seconds"] / steps, row["data_wait_fraction"]
    note = f"{100 * share:.1f} % of the time between two steps: data above all"
    return [Measured("fit: one step as fitted", seconds, note=note)]


def every_objective(work: Path) -> list[Measured]:
    """Each objective as fitted against a plain loop."""
    from benchmarks.objectives import objectives

    return objectives(work)


def synthesis(work: Path) -> list[Measured]:
    """A 1 mm volume by the default recipe's network with all its members, and its report."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.toys import untrained_synthesizer, whole_brain
    from bids_synth.recipe.recipe import load_recipe
    from bids_synth.spatial.volume import read_mask

    recipe = load_recipe("impute").limited_to(["T1w", "T2w", "PDw"])
    prepared = whole_brain(work / "brain", FULL)
    synthesizer = untrained_synthesizer(recipe)
    members = len(synthesizer.networks)
    side = 48
    shown = torch.rand(1, len(recipe.sources), side, side, side)
    there = torch.tensor([[float(m != "T2w") for m in recipe.sources]])
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        synthesizer.networks[0](shown, there)
    result = Measured(f"synthesize: {FULL} at 1 mm, {members} members", 0.0)
    with clock(result):
        made = synthesizer.synthesize(prepared, "T2w")
    voxels = int((read_mask(prepared.mask).array > 0).sum())
    result.operations = counter.get_total_flops() / side**3 * members * voxels
    result.note = f"{voxels} voxels"
    return [result, _report(prepared, made, work)]


def _report(prepared: object, made: object, work: Path) -> Measured:
    from bids_synth.core.synthetic import Synthetic, Verdict
    from bids_synth.core.visit import Prepared
    from bids_synth.evaluate.score import on_native
    from bids_synth.report.pages.participant import write_participant_report
    from bids_synth.report.pages.visit import VisitReport, write_visit_figures

    assert isinstance(prepared, Prepared)
    assert isinstance(made, Synthetic)
    shown = (replace(on_native(made, prepared), verdict=Verdict("pass")),)
    result = Measured("report: figures and page of a 1 mm visit", 0.0)
    with clock(result):
        write_visit_figures(work / "report", VisitReport(prepared, shown))
        write_participant_report(work / "report", prepared.visit.participant)
    return result


STAGES: dict[str, Callable[[Path], list[Measured]]] = {
    "start-up": start_up,
    "index": index,
    "preparation": preparation,
    "fitting": fitting,
    "waiting": waiting,
    "objectives": every_objective,
    "synthesis": synthesis,
}


def main() -> None:
    """Run one stage named on the command line; print its figures as JSON."""
    name, work = sys.argv[1], Path(sys.argv[2])
    results = STAGES[name](work)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    peak = max(u.ru_maxrss for u in usage) / 1e6
    print(json.dumps([asdict(replace(result, peak_gb=peak)) for result in results]))


if __name__ == "__main__":
    main()
