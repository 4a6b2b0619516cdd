"""`python -m benchmarks.quality OUT`: fit every recipe for the same time, and write one table.

Classic and modern recipes of a task learn from the same participants for the same seconds and
are scored on the same test participants, beside the baselines.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.quality_table import quality_page
from benchmarks.tasks import TASKS, Entry, Task
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import Volume, read_volume, write_volume

TRIAL = 8
"""Steps that tell how long a step takes."""
PROTOCOLS = '["masked3d", "slices", "affine-free", "synthrad"]'
"""A protocol that does not apply to a target is left out by itself."""
NOTES = Path(__file__).with_name("quality_notes.md")
"""What the figures on the demo do not tell; written by hand."""
THICK = 1.3
"""Thickness of the slices of every second T1w of the demo, by the width of its pixels."""
NATIVE = " (T1w of {0:g} mm, of every second participant in slices of {1:.3g} mm)"
TESTED = 0.34
"""Share of the participants that test."""
SPLIT_SEED = 0
LOOKS = 3
"""Times that the validation participants are looked at during a fit."""


def fit(entry: Entry, place: Path, options: argparse.Namespace, *, steps: int = 0) -> Path:
    """One `group` run, a trial without `steps`; returns the model folder."""
    trial, name = not steps, entry.recipe if steps else f"{entry.recipe}-trial"
    steps = steps or TRIAL
    per_epoch = max(1, steps // (2 if trial else LOOKS))
    values = {
        "grid.spacing": str(options.spacing),
        "preparation.registration_spacing": str(max(3.0, options.spacing)),
        "synthesis.overlap": "0.25",
        "fit.test": str(TESTED),
        "fit.steps": str(steps),
        "fit.steps_per_epoch": str(per_epoch),
        "evaluation.protocols": PROTOCOLS,
        **entry.overrides,
    }
    command = [
        sys.executable,
        "-m",
        "bids_synth",
        str(options.dataset),
        str(place / name),
        "group",
    ]
    command += ["--recipe", entry.recipe, "-w", str(place / "work")]
    if trial:
        # One fold of two is fitted and nothing is scored.
        command += ["--folds", "2", "--fold", "0"]
    if options.split is not None:
        command += ["--split-file", str(options.split)]
    for key, value in values.items():
        command += ["--set", f"{key}={value}"]
    with (place / f"{name}.log").open("ab") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)
    return place / name / "models" / entry.recipe


def fit_for(entry: Entry, place: Path, options: argparse.Namespace) -> tuple[Path, int, float]:
    """Fit for the stated seconds; model folder, steps of each member, seconds really spent."""
    trial = pd.read_csv(fit(entry, place, options) / "training.tsv", sep="\t")
    members = trial["member"].nunique()
    # The first epoch also warms caches up; the second tells the time of a step.
    own = trial[trial["epoch"] > 0]
    spent = float(own["seconds"].mean()) / (TRIAL / 2)
    steps = max(TRIAL, int(options.seconds / members / spent))
    model = fit(entry, place, options, steps=steps)
    curve = pd.read_csv(model / "training.tsv", sep="\t")
    return model, steps, float(curve["seconds"].sum())


def run_task(task: Task, place: Path, options: argparse.Namespace) -> pd.DataFrame:
    """Scores of both recipes and of the baselines on the test participants of one task."""
    tables = []
    for kind, entry in (("classic", task.classic), ("modern", task.modern)):
        model, steps, seconds = fit_for(entry, place, options)
        rows = pd.read_csv(model / "metrics.tsv", sep="\t", na_values=["n/a"])
        rows["task"], rows["recipe"], rows["kind"] = task.name, entry.recipe, kind
        rows["steps"], rows["seconds"] = steps, seconds
        tables.append(rows)
        print(f"{task.name}: {entry.recipe}, {steps} steps a member, {seconds:.0f} s", flush=True)
    people = [set(t["participant"].astype(str)) for t in tables]
    if people[0] != people[1]:
        message = f"{task.name}: the recipes were scored on different participants: {people}"
        raise RuntimeError(message)
    return pd.concat(tables, ignore_index=True)


def demo(place: Path, options: argparse.Namespace) -> Path:
    """The demo dataset with everything that the tasks need, on no recipe's grid.

    Voxels are finer than the recipes', and the slices of every second T1w are thicker: what is
    lost on the way back to the scanner's grid is seen.
    """
    from bids_synth.demo.dataset import make_demo

    folder = place / "bids"
    if not folder.exists():
        wanted = dict.fromkeys(m for task in TASKS for m in task.modalities)
        modalities = [*wanted, *(["PDw"] if "PDw" not in wanted else [])]
        make_demo(
            folder,
            participants=options.participants,
            resolution=options.resolution,
            modalities=modalities,
            seed=2,
        )
        for path in sorted(folder.glob("sub-*/**/*_T1w.nii.gz"))[::2]:
            write_volume(thick(read_volume(path)), path)
    return folder


def thick(volume: Volume) -> Volume:
    """The same scan in slices that are thicker than its pixels are wide."""
    spacing = list(volume.grid.spacing)
    (axis,) = (n for n, letter in enumerate(volume.grid.orientation) if letter in "SI")
    spacing[axis] *= THICK
    return resample(volume, volume.grid.with_spacing(spacing))


def divided(dataset: Path, place: Path) -> Path:
    """A split of a small dataset with the tested share in whole participants, as a file.

    The program's own split is by the hash of each label: of five participants it may test one.
    """
    people = sorted(path.name for path in dataset.glob("sub-*") if path.is_dir())
    order = np.random.default_rng(SPLIT_SEED).permutation(len(people))
    tested = max(1, round(TESTED * len(people)))
    parts = ["test"] * tested + ["validation"] + ["training"] * len(people)
    rows = [f"{people[k]}\t{part}" for k, part in zip(order, parts, strict=False)]
    path = place / "split.tsv"
    path.write_text("\n".join(["participant_id\tpart", *sorted(rows)]) + "\n")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, score, write `quality.tsv` and the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=120.0, help="of fitting for each recipe")
    parser.add_argument("--participants", type=int, default=12)
    parser.add_argument("--spacing", type=float, default=3.0, help="voxel size, mm")
    parser.add_argument("--resolution", type=float, help="of the demo's T1w, mm (0.8 x spacing)")
    parser.add_argument("--dataset", type=Path, help="a BIDS dataset instead of the demo")
    parser.add_argument("--tasks", nargs="+", default=[task.name for task in TASKS])
    parser.add_argument("--page", type=Path, help="write the table as Markdown, too")
    parser.add_argument("--notes", type=Path, default=NOTES, help="text at the end of the page")
    options = parser.parse_args(arguments)
    options.resolution = options.resolution or max(1.0, round(0.8 * options.spacing, 2))
    if options.dataset is None and options.resolution == options.spacing:
        parser.error("--resolution: expected another than --spacing, or no way back is seen")
    options.out.mkdir(parents=True, exist_ok=True)
    title = "the demo" if options.dataset is None else options.dataset.name
    said = f"--seconds {options.seconds:.0f} --spacing {options.spacing:g}"
    native = NATIVE.format(options.resolution, options.resolution * THICK)
    if options.dataset is not None:
        native = ""
        said = f"--dataset {options.dataset.name} --tasks {' '.join(options.tasks)} {said}"
    if options.notes != NOTES:
        said += f" --notes {options.notes}"
    options.split = divided(options.dataset, options.out) if options.dataset else None
    options.dataset = options.dataset or demo(options.out, options)
    began = time.perf_counter()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    tables = []
    for task in (t for t in TASKS if t.name in options.tasks):
        tables.append(run_task(task, options.out, options))
        rows = pd.concat(tables, ignore_index=True)
        rows.to_csv(options.out / "quality.tsv", sep="\t", index=False, na_rep="n/a")
        page = quality_page(
            rows,
            title=title,
            options=said,
            seconds=options.seconds,
            spacing=options.spacing,
            notes=options.notes,
            native=native,
        )
        (options.page or options.out / "quality.md").write_text(page)
    print(f"{(time.perf_counter() - began) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
