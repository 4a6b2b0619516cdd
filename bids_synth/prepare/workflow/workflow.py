"""Workflow: the steps of preparation wired by nipype, many visits at a time."""

from __future__ import annotations

import os

os.environ.setdefault("NO_ET", "1")  # nipype would ask a server for its newest version.

import gc
import logging
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import yaml
from nipype import config
from nipype import logging as nipype_logging
from nipype.interfaces.utility import Merge
from nipype.pipeline import engine as pe

from bids_synth import __version__
from bids_synth.core.manifest import files_of
from bids_synth.core.settings import SkullStrip
from bids_synth.core.visit import Prepared, Visit
from bids_synth.errors import Problem, UsageError, VisitError
from bids_synth.prepare.brain.external import check_skull_strip
from bids_synth.prepare.workflow.debug import faults_as_raised
from bids_synth.prepare.workflow.interfaces import (
    AdmitScans,
    CollectPrepared,
    FindRegion,
    PlaceMask,
    RegisterScan,
    ResampleScan,
)
from bids_synth.prepare.workflow.key import PREPARATION_VERSION, preparation_key
from bids_synth.prepare.workflow.monitor import ResourceLog, StepLog
from bids_synth.prepare.workflow.outcome import failure_of, read_outcome
from bids_synth.prepare.workflow.plugin import SurvivingMultiProcPlugin
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import read_grid
from bids_synth.system.locks import exclusive
from bids_synth.system.os_errors import REFUSALS, explained

LOG = logging.getLogger(__name__)
TO_FIND, TO_REGISTER = {"mask"}, {"registration_spacing"}
TO_RESAMPLE = {"bias_correction", "log", "suvr", "percentiles", "scaling"}
"""Keys of the recipe's preparation that each step is given: a step is made anew where its own
keys change, and taken over where only others do."""


def init_prepare_wf(
    visit: Visit, recipe: Recipe, *, key: str, seed: int, skull_strip: SkullStrip
) -> Any:
    """The preparation of one visit.

    Inputs are the visit's scans. The last node, `prepared`, is a real one and leaves
    `prepared.json`, which names every output: mask, images, scales, transforms.
    """
    workflow = pe.Workflow(name=workflow_name(visit))
    reference = visit.reference(recipe.reference)
    if reference is None:
        message = f"{visit.label}: has none of {', '.join(recipe.reference)} as reference"
        raise VisitError(message)
    scans = {m: visit.scans[m].path for m in recipe.modalities if m in visit.scans}
    units = {m: visit.scans[m].conversion.to_json() for m in scans}
    part = recipe.preparation
    admit = _node(AdmitScans(), "admit", max(scans.values(), key=_voxels), factor=4)
    admit.inputs.trait_set(
        scans=[str(path) for path in scans.values()], modalities=list(scans),
        conversions=list(units.values()),
    )  # fmt: skip
    region = _node(FindRegion(), "region", scans[reference], factor=6, least=1.2)
    region.inputs.trait_set(
        reference=str(scans[reference]), modality=reference,
        parameters=part.model_dump_json(include=TO_FIND),
        option=skull_strip, seed=seed, conversion=units[reference],
    )  # fmt: skip
    if visit.brain_mask is not None and visit.mask_of == reference:
        region.inputs.mask_file = str(visit.brain_mask)
    workflow.connect(admit, "admitted", region, "admitted")
    place = pe.Node(PlaceMask(grid=recipe.grid.model_dump_json()), name="mask", mem_gb=0.5)
    workflow.connect(region, "native_mask", place, "native_mask")
    moving = [m for m in scans if m != reference]
    images = _merge(len(scans), "images")
    scales = _merge(len(scans), "scales")
    coverage = _merge(len(scans), "coverage")
    prepared = pe.Node(
        CollectPrepared(
            key=key, reference=reference, native=str(scans[reference]),
            modalities=list(scans), moving=moving,
        ),
        name="prepared",
        mem_gb=1.0,
    )  # fmt: skip
    if moving:
        transforms = _merge(len(moving), "transforms")
        workflow.connect(transforms, "out", prepared, "transforms")
    for number, (modality, path) in enumerate(scans.items(), start=1):
        fine = _node(ResampleScan(), f"resample_{modality}", path, factor=6)
        own = part.model_dump_json(include=TO_RESAMPLE)
        fine.inputs.trait_set(
            scan=str(path), modality=modality, parameters=own, conversion=units[modality]
        )
        workflow.connect(place, "mask", fine, "mask")
        if part.scaling == "white-matter":
            workflow.connect(region, "template", fine, "template")
        workflow.connect(fine, "image", images, f"in{number}")
        workflow.connect(fine, "scale", scales, f"in{number}")
        workflow.connect(fine, "coverage", coverage, f"in{number}")
        if modality != reference:
            rigid = _node(RegisterScan(), f"register_{modality}", path, factor=6)
            rigid.inputs.trait_set(
                reference=str(scans[reference]), reference_modality=reference, scan=str(path),
                modality=modality, seed=seed, conversions=[units[reference], units[modality]],
                parameters=part.model_dump_json(include=TO_REGISTER),
            )  # fmt: skip
            workflow.connect(region, "native_mask", rigid, "native_mask")
            workflow.connect(rigid, "transform", fine, "transform")
            place_in = f"in{moving.index(modality) + 1}"
            workflow.connect(rigid, "transform", transforms, place_in)
    outputs = [("native_mask", "native_mask"), ("template", "template"), ("known", "region")]
    workflow.connect(region, outputs[0][0], prepared, outputs[0][1])
    workflow.connect([(region, prepared, outputs[1:]), (place, prepared, [("mask", "mask")])])
    workflow.connect(admit, "admitted", prepared, "admitted")
    workflow.connect(images, "out", prepared, "images")
    workflow.connect(scales, "out", prepared, "scales")
    workflow.connect(coverage, "out", prepared, "coverage")
    return workflow


def prepare_visits(
    visits: Sequence[Visit],
    recipe: Recipe,
    *,
    work: Path,
    seed: int,
    skull_strip: SkullStrip,
    nprocs: int,
    memory_gb: float,
    plugin_file: Path | None = None,
    stop_on_first_crash: bool = False,
    write_graph: bool = False,
    crash_dir: Path | None = None,
    alone: bool = False,
    pdb: bool = False,
    resources: Path | None = None,
    quiet: bool = True,
) -> tuple[dict[str, Prepared], tuple[Problem, ...]]:
    """Prepare visits side by side; what is in the work directory already is not made again.

    Every step runs on one thread, so that the result does not depend on `nprocs`. A visit
    that fails becomes a problem, the others go on. Raises UsageError where the tool of
    `skull_strip` or the plugin file is not usable.

    With `alone`, steps follow one another in one process that ends with the visits. With `pdb`
    they run here and the first fault is raised as it is. `resources` is a table of time and
    memory to write, `quiet` shows no line of progress.
    """
    check_skull_strip(skull_strip)
    log = StepLog(ResourceLog(resources) if resources is not None else None, quiet=quiet)
    work.mkdir(parents=True, exist_ok=True)
    plugin_path = plugin_file.absolute() if plugin_file is not None else None
    # nipype's monitor leaves files in the folder that its workers start in.
    with chdir(work):
        plugin = (
            {"plugin": "Linear", "plugin_args": {"status_callback": log}}
            if pdb
            else _plugin(plugin_path, nprocs, memory_gb, alone=alone, log=log)
        )
    crashes = (crash_dir or work / "crashes").absolute()
    crashes.mkdir(parents=True, exist_ok=True)
    _quiet(stop=stop_on_first_crash or pdb)
    before = set(crashes.iterdir())
    base = _base(work)
    workflow = pe.Workflow(name="prepare", base_dir=str(base))
    # Not by nipype's own configuration, to which a % in a path is syntax.
    workflow.config = {"execution": {"crashdump_dir": str(crashes)}}
    keys: dict[str, str] = {}
    prepared: dict[str, Prepared] = {}
    problems: list[Problem] = []
    refused: str | None = None
    for visit in visits:
        try:
            key = preparation_key(visit, recipe, seed=seed, skull_strip=skull_strip)
            # nipype would hash all inputs of every step to come to the same answer.
            if (left := left_in(work, visit, key)) is not None:
                prepared[visit.label] = left
                continue
            workflow.add_nodes(
                [init_prepare_wf(visit, recipe, key=key, seed=seed, skull_strip=skull_strip)]
            )
            keys[visit.label] = key
        except VisitError as error:
            problems.append(Problem(visit.label, str(error)))
    if keys:
        LOG.info("preparing %d visit(s): %s", len(keys), ", ".join(keys))
        graph = crashes / "graph.dot" if write_graph else None
        debugging = faults_as_raised() if pdb else nullcontext()
        turn = exclusive(keys, base / "turns", does="prepares")
        with turn, chdir(work), debugging, log.over(len(workflow.list_node_names())):
            refused = _run(workflow, plugin, graph=graph, raising=pdb)
    fresh = [path for path in crashes.iterdir() if path not in before]
    for visit in (v for v in visits if v.label in keys):
        outcome = read_outcome(_manifest(base, visit), visit, keys[visit.label])
        if outcome is None:
            reason = failure_of(workflow_name(visit), fresh, work, refused)
            problems.append(Problem(visit.label, reason))
        else:
            prepared[visit.label] = outcome
    for note in (note for item in prepared.values() for note in item.notes):
        LOG.warning("%s", note)
    return prepared, tuple(problems)


def left_in(work: Path, visit: Visit, key: str) -> Prepared | None:
    """The visit as an earlier call has left it in a work directory, all its files there."""
    outcome = read_outcome(_manifest(_base(work), visit), visit, key)
    if outcome is None:
        return None
    return outcome if all(path.is_file() for path in files_of(outcome).values()) else None


def _base(work: Path) -> Path:
    return work.absolute() / f"{__version__}-{PREPARATION_VERSION}"


def _manifest(base: Path, visit: Visit) -> Path:
    return base / "prepare" / workflow_name(visit) / "prepared" / "prepared.json"


def workflow_name(visit: Visit) -> str:
    """Name of a visit's workflow and of its folder in the work directory."""
    held = f"_without_{'_'.join(visit.withheld)}" if visit.withheld else ""
    return re.sub(r"\W", "_", visit.label + held) + "_wf"


def _node(interface: Any, name: str, scan: Path, *, factor: float, least: float = 0.3) -> Any:
    """A node that plans with `least` GB and `factor` float32 copies of its scan."""
    memory = least + factor * 4 * _voxels(scan) / 1e9
    return pe.Node(interface, name=name, mem_gb=memory, n_procs=1)


def _merge(count: int, name: str) -> Any:
    """A list of paths, made anew in every run: nipype would keep those of where it was made."""
    return pe.Node(Merge(count), name=name, run_without_submitting=True, overwrite=True)


def _voxels(scan: Path) -> float:
    try:
        return float(math.prod(read_grid(scan).shape))
    except VisitError:
        return 1e7  # The step itself will say what is wrong with the file.


def _plugin(
    path: Path | None, nprocs: int, memory_gb: float, *, alone: bool, log: StepLog
) -> dict[str, Any]:
    if path is not None:
        try:
            choice = yaml.safe_load(path.read_text("utf-8"))
        except (OSError, yaml.YAMLError) as error:
            message = f"--use-plugin {path}: is not readable YAML ({error})"
            raise UsageError(message) from error
        if not isinstance(choice, dict) or "plugin" not in choice:
            message = f"--use-plugin {path}: expected the keys plugin and plugin_args"
            raise UsageError(message)
    else:
        cores = 1 if alone else nprocs
        limits = {"n_procs": cores, "memory_gb": memory_gb, "raise_insufficient": False}
        apart = alone or nprocs > 1
        choice = {"plugin": "MultiProc" if apart else "Linear", "plugin_args": limits}
    options = dict(choice.get("plugin_args") or {}) | {"status_callback": log}
    if choice["plugin"] == "MultiProc":
        return {"plugin": SurvivingMultiProcPlugin(options)}
    return {"plugin": choice["plugin"], "plugin_args": options}


def _quiet(*, stop: bool) -> None:
    config.update_config(
        {
            "execution": {
                "crashfile_format": "txt",
                "hash_method": "content",
                "stop_on_first_crash": str(stop).lower(),
                "check_version": "false",
                "poll_sleep_duration": "0.1",
                "remove_unnecessary_outputs": "false",
                "use_relative_paths": "true",  # So that a work directory can be moved.
            },
            "logging": {"log_to_file": "false"},
        }
    )
    # Its messages are of interest where those of all libraries are asked for (-vv).
    level = logging.INFO if logging.getLogger().isEnabledFor(logging.INFO) else logging.CRITICAL
    for name in ("nipype.workflow", "nipype.interface", "nipype.utils"):
        nipype_logging.getLogger(name).setLevel(level)


def _run(
    workflow: Any, plugin: dict[str, Any], *, graph: Path | None, raising: bool
) -> str | None:
    """Run the steps; what the machine refused to nipype itself, where it did."""
    if graph is not None:
        _draw(workflow, graph)
    try:
        with _little_garbage():
            workflow.run(**plugin)
    except RuntimeError as error:
        if raising:
            raise
        # nipype tells of failed nodes only here; which ones is read from what they left.
        LOG.debug("nipype: %s", error)
    except REFUSALS as error:
        if raising:
            raise
        LOG.debug("nipype was refused something", exc_info=True)
        return explained(error)
    return None


@contextmanager
def _little_garbage() -> Iterator[None]:
    """Collections of garbage look only at what is made from here on.

    nipype collects before and after every step; with torch and pandas loaded each collection
    takes tenths of a second, more than most steps take.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _draw(workflow: Any, graph: Path) -> None:
    """Write the graph as text, and as SVG where graphviz is installed."""
    try:
        workflow.write_graph(dotfilename=str(graph), graph2use="colored", format="svg")
    except OSError:
        LOG.warning("--write-graph: no graphviz here to draw %s; install it, or use dot", graph)
