"""Dataset: the demo written as a raw BIDS dataset, the truth as a derivative inside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bids_synth.core.modality import MODALITIES
from bids_synth.demo.head.anatomy import Template, build_template
from bids_synth.demo.head.individual import Individual, draw_individual
from bids_synth.demo.plan import PlannedVisit, plan_visits
from bids_synth.demo.scanner.render import SEGMENTS
from bids_synth.demo.scanner.resampling import itk_text
from bids_synth.demo.scanner.sequence import choose
from bids_synth.demo.sidecar import (
    IGNORED,
    README,
    TRACER,
    dataset_description,
    dump,
    participants_description,
    sidecar,
    truth_description,
)
from bids_synth.demo.visit_images import Truth, make_visit
from bids_synth.errors import UsageError
from bids_synth.spatial.volume import Volume, write_text, write_volume

LESION = next(number for number, (_, name, _) in SEGMENTS.items() if name == "lesion")
COLUMNS = ("participant_id", "age", "sex", "site", "rs6971", "Hct", "O2sat")
FINEST, COARSEST = 1.0, 4.0
"""Voxel sizes in mm that the template's millimetre can serve."""
WORKERS = 2
"""Visits made at a time; each needs up to 1 GB at 1 mm."""


def make_demo(
    out: Path,
    *,
    participants: int = 12,
    resolution: float = 2.0,
    modalities: Sequence[str] | None = None,
    seed: int = 1,
) -> Path:
    """Write a BIDS dataset of digital head phantoms into `out`, which it returns.

    `resolution` is the voxel size in mm of the T1w; `modalities` are keys of `SEQUENCES`, T1w is
    always made. The same arguments give the same bytes. Raises UsageError where the folder is
    not empty or an argument is out of range.
    """
    _check(out, participants, resolution, seed)
    chosen = choose(None if modalities is None else tuple(modalities))
    visits = plan_visits(participants, chosen)
    template = build_template(max(FINEST, 0.75 * resolution))
    people = [
        draw_individual(np.random.default_rng([seed, number]), template, number)
        for number in range(participants)
    ]
    _write_frame(out, visits, people, seed=seed, resolution=resolution)

    def write(visit: PlannedVisit) -> None:
        person = people[visit.number]
        person = person.later() if visit.order else person
        _write_visit(out, visit, person, template, seed=seed, resolution=resolution)

    with ThreadPoolExecutor(min(WORKERS, len(os.sched_getaffinity(0)))) as pool:
        list(pool.map(write, visits))
    return out


def _check(out: Path, participants: int, resolution: float, seed: int) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        message = f"{out}: is not an empty folder; remove it or name another"
        raise UsageError(message)
    if participants < 1 or seed < 0:
        message = (
            f"expected at least 1 participant and a seed of 0 or more, got {participants}, {seed}"
        )
        raise UsageError(message)
    if not FINEST <= resolution <= COARSEST:
        message = f"expected a resolution of {FINEST:g} to {COARSEST:g} mm, got {resolution:g}"
        raise UsageError(message)


def _write_frame(
    out: Path,
    visits: Sequence[PlannedVisit],
    people: Sequence[Individual],
    *,
    seed: int,
    resolution: float,
) -> None:
    description = dataset_description(seed=seed, resolution=resolution)
    write_text(dump(description), out / "dataset_description.json")
    write_text(README, out / "README.md")
    write_text(IGNORED, out / ".bidsignore")
    write_text(dump(participants_description()), out / "participants.json")
    labels = {visit.number: visit.participant for visit in visits}
    rows = ["\t".join(COLUMNS)]
    for number, one in enumerate(people):
        row = (
            f"sub-{labels[number]}",
            one.age,
            one.sex,
            one.site,
            one.genotype,
            one.hct,
            one.o2sat,
        )
        rows.append("\t".join(str(value) for value in row))
    write_text("\n".join(rows) + "\n", out / "participants.tsv")
    truth = out / "derivatives" / "truth"
    write_text(dump(truth_description()), truth / "dataset_description.json")
    write_text("# Ground truth of the phantoms\n\n" + README, truth / "README.md")
    write_text("*_xfm.txt\n", truth / ".bidsignore")
    labels_tsv = [f"{label}\t{name}\t{short}" for label, (short, name, _) in SEGMENTS.items()]
    write_text("\n".join(["index\tname\tabbreviation", *labels_tsv]) + "\n", truth / "dseg.tsv")


def _write_visit(
    out: Path,
    visit: PlannedVisit,
    person: Individual,
    template: Template,
    *,
    seed: int,
    resolution: float,
) -> None:
    images = make_visit(
        template,
        person,
        visit.acquired,
        seed=(seed, visit.number, visit.order),
        resolution=resolution,
        noiseless_of=visit.withheld,
    )
    folder = _folder(visit)
    for name, volume in images.scans.items():
        modality = MODALITIES[name]
        tracer = f"_trc-{TRACER}" if name == "pet" else ""
        stem = out / folder / modality.datatype / f"{visit.label}{tracer}_{modality.suffix}"
        write_volume(volume, stem.with_name(f"{stem.name}.nii.gz"))
        write_text(dump(sidecar(name, person)), stem.with_name(f"{stem.name}.json"))
    _write_truth(out / "derivatives" / "truth" / folder, visit, images.truth)


def _write_truth(folder: Path, visit: PlannedVisit, truth: Truth) -> None:
    anat, label = folder / "anat", visit.label
    for name, motion in truth.motions.items():
        write_text(itk_text(motion), anat / f"{label}_from-{name}_to-T1w_mode-image_xfm.txt")
    where = {"SpatialReference": "The T1w of this visit"}
    volumes: dict[str, tuple[Volume, dict[str, Any]]] = {
        "space-T1w_desc-brain_mask": (truth.mask, {**where, "Type": "Brain"}),
        "space-T1w_dseg": (truth.segments, {**where}),
    }
    lesions = (truth.segments.array == LESION).astype(np.uint8)
    if lesions.any():
        known = {**where, "Type": "Lesion"}
        volumes["space-T1w_label-lesion_mask"] = (truth.segments.with_array(lesions), known)
    for name, volume in truth.images.items():
        modality = MODALITIES[name]
        content = {**where, "SkullStripped": False, "Units": modality.unit}
        volumes[f"space-T1w_desc-truth_{modality.suffix}"] = (volume, content)
    for name, (volume, content) in volumes.items():
        write_volume(volume, anat / f"{label}_{name}.nii.gz")
        write_text(dump(content), anat / f"{label}_{name}.json")


def _folder(visit: PlannedVisit) -> Path:
    participant = Path(f"sub-{visit.participant}")
    return participant / f"ses-{visit.session}" if visit.session else participant
