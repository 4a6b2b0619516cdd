"""Withheld: what a scenario withholds gives neither grid, nor mask, nor registration.

Where it withholds the reference of a visit, the visit is prepared anew from what is left, as one
that truly lacks the rest, and scored on the grid and in the mask of that preparation. The
withheld scan is truth alone: the rigid transform that the full preparation found brings it
there, in one interpolation. These preparations lie in the work directory only. The validation
participants, which select weights, are seen as they were fully prepared.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bids_synth.bids.raw.masks import MaskFinder
from bids_synth.core.scale import Scale
from bids_synth.core.settings import Settings
from bids_synth.core.tissue.levels import levels_of
from bids_synth.core.units import Conversion
from bids_synth.core.visit import Prepared, Visit
from bids_synth.errors import VisitError
from bids_synth.pipeline.prepare_visits import prepare_reduced
from bids_synth.prepare.workflow.steps import resample_scan
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.tasks import Task
from bids_synth.spatial.grid import inverse
from bids_synth.spatial.itk import read_itk, write_itk
from bids_synth.spatial.resample import resample
from bids_synth.spatial.volume import read_volume, write_volume
from bids_synth.system.atomic import atomic_write
from bids_synth.system.os_errors import visit_fails

LOG = logging.getLogger(__name__)
Place = tuple[str, tuple[str, ...]]


@dataclass
class Withheld:
    """The visits that scenarios leave, each prepared once."""

    recipe: Recipe
    settings: Settings
    missed: list[str] = field(default_factory=list)
    """One line for every task that cannot be scored, and why."""
    _reduced: dict[Place, Prepared | str] = field(default_factory=dict)
    """Label and modalities kept -> the preparation of these alone, or why there is none."""

    def prepare(self, tasks: Iterable[tuple[Prepared, Task]]) -> None:
        """Prepare all that the real tasks of fully prepared visits need, side by side.

        What fails is told by `of`.
        """
        wanted: dict[Place, Visit] = {}
        for prepared, task in tasks:
            kept = self._kept(prepared, task)
            place = (prepared.label, kept)
            if prepared.reference not in kept and place not in self._reduced:
                wanted[place] = self._visit(prepared, kept)
        while wanted:
            # Labels are the names of one preparation: those of one visit follow one another.
            turn = {label: (label, kept) for label, kept in reversed(wanted)}
            visits = [wanted.pop(place) for place in turn.values()]
            reduced, problems = prepare_reduced(visits, self.recipe, self.settings)
            reasons = {problem.visit: problem.message for problem in problems}
            for label, place in turn.items():
                self._reduced[place] = reduced.get(label) or reasons.get(label, "was not prepared")

    def of(self, prepared: Prepared, task: Task) -> Prepared | None:
        """The preparation in which a task is to be made and scored; None, and told, without one.

        That of the whole visit where its reference is given, else that of what is left, with
        the target beside it as truth.
        """
        kept = self._kept(prepared, task)
        if prepared.reference in kept:
            return prepared
        self.prepare([(prepared, task)])
        reduced = self._reduced[prepared.label, kept]
        if isinstance(reduced, str):
            self._miss(prepared, task, reduced)
            return None
        try:
            with visit_fails():
                return _with_truth(reduced, prepared, task.target, self.recipe, self.settings.work)
        except VisitError as error:
            self._miss(prepared, task, str(error))
            return None

    def _kept(self, prepared: Prepared, task: Task) -> tuple[str, ...]:
        """What a task leaves of a visit: its sources, and what is never more than a reference."""
        return tuple(
            m
            for m, role in self.recipe.modalities.items()
            if m in prepared.images and (role == "reference" or m in task.sources)
        )

    def _visit(self, prepared: Prepared, kept: Sequence[str]) -> Visit:
        """The visit with only these scans, and the mask that it would have been given."""
        visit = prepared.visit
        left = visit.without([m for m in visit.scans if m not in kept])
        settings = self.settings
        if left.brain_mask is None and settings.derivatives:
            masks = MaskFinder(settings.dataset, settings.derivatives, self.recipe.reference)
            left, _ = masks.add_to(left)
        return left

    def _miss(self, prepared: Prepared, task: Task, reason: str) -> None:
        line = (
            f"{prepared.label}: {task.target} from {' + '.join(task.sources)} is not scored: "
            f"without its {prepared.reference}, {reason}"
        )
        if line not in self.missed:
            self.missed.append(line)
            LOG.warning("%s", line)


def _with_truth(
    reduced: Prepared, full: Prepared, target: str, recipe: Recipe, work: Path
) -> Prepared:
    """A reduced preparation with a target beside it that gave nothing to it.

    Its image and scale lie on the prepared grid; the native mask holds only what the target's
    field of view covers. VisitError where that is nothing.
    """
    named = f"{reduced.key}:{full.key}:{target}"
    place = work / "withheld" / "truth" / hashlib.sha256(named.encode()).hexdigest()[:40]
    if not place.is_dir():
        with atomic_write(place, folder=True) as part:
            _write_truth(reduced, full, target, recipe, part)
    known = json.loads((place / f"{target}.json").read_text("utf-8"))
    levels = {target: levels_of(known["levels"])} if known["levels"] else {}
    return replace(
        reduced,
        visit=full.visit,
        images={**reduced.images, target: place / f"{target}.nii.gz"},
        scales={**reduced.scales, target: Scale(**known["scale"])},
        levels={**reduced.levels, **levels},
        conversions={**reduced.conversions, target: Conversion(**known["conversion"])},
        transforms={**reduced.transforms, target: place / "transform.txt"},
        native_mask=place / "native_mask.nii.gz",
        contents=full.contents,
        truths=frozenset({target}),
    )


def _write_truth(
    reduced: Prepared, full: Prepared, target: str, recipe: Recipe, folder: Path
) -> None:
    scan = full.visit.scans[target]
    to_target = inverse(read_itk(full.transforms[reduced.reference]))
    if target != full.reference:
        to_target = read_itk(full.transforms[target]) @ to_target
    transform = write_itk(to_target, folder / "transform.txt")
    resample_scan(
        *(scan.path, target, reduced.mask, transform, recipe.preparation, folder),
        conversion=scan.conversion,
        template=reduced.template,
    )
    mask, truth = reduced.native_mask_image, read_volume(scan.path)
    field_of_view = truth.with_array(np.ones(truth.grid.shape, np.uint8))
    seen = resample(field_of_view, mask.grid, transform=to_target, order=0)
    covered = mask.with_array(mask.array * (seen.array > 0))
    if not covered.array.any():
        message = f"{scan.path}: covers nothing of the mask"
        raise VisitError(message)
    write_volume(covered, folder / "native_mask.nii.gz")
