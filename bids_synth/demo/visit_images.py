"""Visit images: every scan of one visit of a participant, with the truth about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_synth.demo.head.anatomy import Template
from bids_synth.demo.head.appearance import Blood, image, weights
from bids_synth.demo.head.individual import Individual
from bids_synth.demo.head.shapes import Array
from bids_synth.demo.head.tissue import TISSUES
from bids_synth.demo.scanner.render import SEGMENTS, Head, render
from bids_synth.demo.scanner.resampling import inverse, resample, rigid
from bids_synth.demo.scanner.scan import noiseless, stored
from bids_synth.demo.scanner.scanner import ScanPlan, acquire, draw_motion, draw_plan
from bids_synth.demo.scanner.sequence import SEQUENCES, unit
from bids_synth.spatial.grid import Affine, Grid
from bids_synth.spatial.volume import Volume

MARGIN_LOW, MARGIN_HIGH = np.array([20.0, 20.0, 30.0]), np.array([20.0, 40.0, 22.0])
"""mm of field of view around the brain: left, posterior, inferior; right, anterior, superior."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What nobody knows of a real visit; everything on the T1w's grid."""

    motions: dict[str, Affine]
    """Modality -> 4x4 RAS+ mm, points of the T1w's space -> points of the scan's space."""
    mask: Volume
    """Outline of the brain, ventricles and sulci included."""
    segments: Volume
    """Labels of `SEGMENTS`."""
    images: dict[str, Volume]
    """Noiseless images of the modalities asked for, without bias field and gain."""


@dataclass(frozen=True, eq=False)
class VisitImages:
    """The scans of a visit and the truth about them."""

    scans: dict[str, Volume]
    truth: Truth


def make_visit(
    template: Template,
    individual: Individual,
    modalities: Sequence[str],
    *,
    seed: Sequence[int],
    resolution: float,
    noiseless_of: Sequence[str] = (),
) -> VisitImages:
    """Scan a participant; the same seed gives each modality the same voxels whatever the others.

    `noiseless_of` names the modalities whose noiseless image on the T1w's grid is wanted.
    """
    head = render(template, individual, list(dict.fromkeys([*modalities, *noiseless_of])))
    pose = _draw_pose(np.random.default_rng([*seed, 1000]))
    view = _field_of_view(head, pose)
    plans = {
        name: _plan(name, seed, resolution, view)
        for name in dict.fromkeys(["T1w", *modalities, *noiseless_of])
    }
    scans = {name: _scan(head, individual, pose, name, plans[name]) for name in modalities}
    t1w = plans["T1w"]
    images = {name: _noiseless_image(head, individual, pose, name, t1w) for name in noiseless_of}
    mask, segments = _labels(head, pose, t1w.grid)
    motions = {name: plans[name].motion for name in modalities if name != "T1w"}
    return VisitImages(scans, Truth(motions, mask, segments, images))


def _draw_pose(rng: np.random.Generator) -> Affine:
    return rigid(rng.normal(0, [5.0, 2.5, 3.0]), rng.uniform(-6, 6, 3))


def _field_of_view(head: Head, pose: Affine) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    index = np.argwhere(head.stack[..., head.columns["outline"]][..., 0] > 0.5)
    low = head.box.to_mm(index.min(axis=0)) - MARGIN_LOW
    high = head.box.to_mm(index.max(axis=0)) + MARGIN_HIGH
    centre = (pose @ np.append((low + high) / 2, 1))[:3]
    half = (high - low) / 2
    return centre - half, centre + half


def _plan(name: str, seed: Sequence[int], resolution: float, view: tuple[Any, Any]) -> ScanPlan:
    sequence = SEQUENCES[name]
    place = list(SEQUENCES).index(name)
    shared = next(
        (i for i, s in enumerate(SEQUENCES.values()) if s.group and s.group == sequence.group),
        place,
    )
    rng = np.random.default_rng([*seed, shared])
    motion = np.eye(4) if name == "T1w" else draw_motion(rng)
    plan = draw_plan(rng, sequence, resolution, view, motion)
    noise = int(np.random.default_rng([*seed, place, 7]).integers(2**62))
    return ScanPlan(plan.grid, plan.motion, plan.bias, plan.gain, noise)


def _scan(head: Head, individual: Individual, pose: Affine, name: str, plan: ScanPlan) -> Volume:
    clean = _clean(head, individual, pose, name, plan)
    sequence = SEQUENCES[name]
    array = stored(clean, sequence, plan, _white(name, individual))
    return Volume(array, plan.grid, unit(name))


def _noiseless_image(
    head: Head, individual: Individual, pose: Affine, name: str, t1w: ScanPlan
) -> Volume:
    clean = _clean(head, individual, pose, name, t1w)
    array = noiseless(clean, SEQUENCES[name], _white(name, individual))
    return Volume(array, t1w.grid, unit(name))


def _clean(head: Head, individual: Individual, pose: Affine, name: str, plan: ScanPlan) -> Array:
    parts = acquire(head.part(name), head.box, pose, plan, SEQUENCES[name])
    return image(name, parts, Blood(individual.hct, individual.o2sat))


def _white(name: str, individual: Individual) -> float:
    return float(weights(name, individual)[0, TISSUES.index("white")])


def _labels(head: Head, pose: Affine, grid: Grid) -> tuple[Volume, Volume]:
    to_box = inverse(pose)
    outline = resample(head.part("outline"), head.box, grid, to_box)[0]
    shares = resample(head.part("segments"), head.box, grid, to_box)
    labels = np.array(list(SEGMENTS), np.uint8)[shares.argmax(axis=0)]
    labels[shares.sum(axis=0) < 0.5] = 0
    mask = (outline > 0.5).astype(np.uint8)
    return Volume(mask, grid), Volume(labels, grid)
