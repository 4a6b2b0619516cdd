"""Fill one visit: synthesise what it lacks, judge it, write it, draw it, and score it if real."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_synth.bids.derivatives.closed_forms import (
    computed_of,
    current_closed_form,
    write_closed_form,
)
from bids_synth.bids.derivatives.copies import copy_is_current, write_copies
from bids_synth.bids.derivatives.synthetic import is_current, write_synthetic, written_synthetic
from bids_synth.core.modality import MODALITIES
from bids_synth.core.settings import Settings
from bids_synth.core.synthetic import Synthetic, Verdict
from bids_synth.core.visit import Prepared, Visit
from bids_synth.errors import Problem, VisitError
from bids_synth.evaluate.leaks import Guard, left_out_line
from bids_synth.evaluate.scenarios import shows_enough
from bids_synth.evaluate.score import (
    closed_form_image,
    evaluation_features,
    on_native,
    score_withheld,
)
from bids_synth.evaluate.verdict import judge
from bids_synth.learn.data.training_statistics import figures
from bids_synth.learn.device import use_threads
from bids_synth.learn.model.model import load_model
from bids_synth.learn.synthesize import load_start, load_synthesizer
from bids_synth.measure.features import Seen
from bids_synth.measure.table import summarise, with_frechet, write_rows
from bids_synth.measure.terminal import format_table
from bids_synth.physics.formulas import NEEDED
from bids_synth.physics.visit_maps import blood_figures, held_voxels
from bids_synth.pipeline.discover import dataset_name
from bids_synth.pipeline.withheld import Withheld
from bids_synth.prepare.native import to_native
from bids_synth.prepare.to_template import to_template
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.tasks import Task
from bids_synth.report.pages.participant import write_participant_report
from bids_synth.report.pages.visit import (
    VisitReport,
    visit_is_drawn,
    withdraw_figures,
    write_visit_figures,
)
from bids_synth.spatial.volume import Volume, hold_to_bounds, read_mask
from bids_synth.system.os_errors import visit_fails

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class VisitResult:
    """What became of one visit."""

    visit: Visit
    lines: tuple[str, ...]
    """One line for every target."""
    rows: pd.DataFrame | None = None
    """Scores, where a target was real and `--evaluate` was given."""
    seen: tuple[Seen, ...] = ()
    """Feature vectors of the same, where the recipe gives a network for them."""


class Filler:
    """A model loaded once, applied to one prepared visit after the other."""

    def __init__(self, folder: Path, recipe: Recipe, settings: Settings) -> None:
        self.model = load_model(folder)
        self.recipe = recipe
        self.settings = settings
        use_threads(settings.omp_nthreads, most=settings.nprocs)
        self.synthesizer = load_synthesizer(self.model, settings.device)
        self.baselines = self.model.baselines()
        self.start = load_start(self.synthesizer) if settings.evaluate else None
        self.features = evaluation_features(recipe) if settings.evaluate else None
        self.guard = Guard(self.model.card, dataset_name(settings.dataset))
        self.withheld = Withheld(self.model.recipe, settings)
        self.left_out: list[str] = []

    def tasks(self, visit: Visit) -> list[Task]:
        """What this run makes for a visit: what it lacks, with `--evaluate` the real too."""
        tasks = self.recipe.tasks(visit.scans, visit.doubtful)
        return [task for task in tasks if self.settings.evaluate or not task.real]

    def wants(self, visit: Visit) -> bool:
        """Whether this run makes or computes anything for a visit."""
        return bool(self.tasks(visit) or computed_of(visit, self.recipe))

    def expect(self, visits: Sequence[Visit]) -> None:
        """Tell of all visits of the run: a participant is known to the model by any of them."""
        self.guard.visits = visits

    def withhold(self, prepared: Iterable[Prepared]) -> None:
        """Prepare, side by side, what these visits are without a reference that is to be made."""
        self.withheld.prepare(
            (item, task) for item in prepared for task in self.tasks(item.visit) if task.real
        )

    def fill(self, prepared: Prepared) -> VisitResult:
        """Make, judge, write, score and draw every target of a visit."""
        visit, tasks = prepared.visit, self.tasks(prepared.visit)
        lines = self._compute(prepared)
        if self._all_current(prepared, tasks) and (tasks or not lines):
            named = [task.target for task in tasks] or computed_of(visit, self.recipe)
            return VisitResult(visit, (*lines, f"{visit.label}: {', '.join(named)} up to date"))
        withdraw_figures(self.settings.output, prepared)
        shown: list[tuple[Synthetic, Verdict, Volume | None]] = []
        reduced: dict[str, Prepared] = {}
        rows: list[pd.DataFrame] = []
        seen: list[Seen] = []
        unscored: list[str] = []
        for task in tasks:
            target = task.target
            left = self.withheld.of(prepared, task) if task.real else prepared
            if left is None:
                continue
            if left is not prepared:
                reduced[target] = left
            made = self.synthesizer.synthesize(left, target, sources=task.sources)
            verdict = self._verdict(left, made)
            native = on_native(made, left)
            files = self._write(native, left, verdict)
            self._copy(_images(files, made), left)
            lines.append(_line(visit, made, verdict))
            if task.real and self._may_score(prepared, target, unscored):
                start = self.start
                begun = start.synthesize(left, target, sources=task.sources) if start else None
                scored = score_withheld(
                    made, self.model, self.baselines, left, self.features, start=begun
                )
                shown.append((scored.synthetic, verdict, scored.real))
                rows.append(scored.rows)
                seen += [scored.seen] if scored.seen else []
            else:
                shown.append((native, verdict, None))
        scores = pd.concat(rows, ignore_index=True) if rows else None
        self._draw(prepared, shown, scores, reduced)
        for line in lines:
            LOG.info("%s", line)
        return VisitResult(visit, (*lines, *unscored), scores, tuple(seen))

    def report(
        self, results: Sequence[VisitResult], problems: Sequence[Problem]
    ) -> tuple[tuple[Path, ...], list[Problem]]:
        """Write the page of every participant that was touched; pages, and what failed."""
        pages, failed = [], []
        for participant in sorted({result.visit.participant for result in results}):
            try:
                with visit_fails():
                    page = write_participant_report(
                        self.settings.output,
                        participant,
                        problems=_own(problems, participant),
                        sessions_per_page=self.settings.sessions_per_page,
                    )
            except VisitError as error:
                failed.append(Problem(f"sub-{participant}", f"no report: {error}"))
            else:
                pages.append(page)
        return tuple(pages), failed

    def tables(self, results: Sequence[VisitResult]) -> tuple[str, ...]:
        """The table of scores, and its rows beside the logs; nothing where nothing was real."""
        rows = [result.rows for result in results if result.rows is not None]
        told = [*self.left_out, *self.withheld.missed]
        if not rows:
            return ("\n".join(["nothing was scored", *told]),) if told else ()
        table = pd.concat(rows, ignore_index=True)
        settings = self.settings
        write_rows(table, settings.output / "logs" / f"scores-{settings.run_id}.tsv")
        resamples = self.recipe.evaluation.bootstrap
        summary = summarise(table, resamples=resamples, seed=settings.seed)
        seen = [one for result in results for one in result.seen]
        return ("\n".join([format_table(with_frechet(summary, seen)), *told]),)

    def _compute(self, prepared: Prepared) -> list[str]:
        """Write what closed-form physics gives of a visit; a line where anything was written."""
        settings, constants, written = self.settings, blood_figures(prepared), []
        held_oef = 0
        for quantity in computed_of(prepared.visit, self.recipe):
            found = current_closed_form(quantity, prepared, settings.output, constants=constants)
            if found and not settings.overwrite and self._copies_are_current(found):
                continue
            image, held = hold_to_bounds(closed_form_image(quantity, prepared))
            if held:
                LOG.info("%s: %d voxels of %s were held at 0", prepared.label, held, quantity)
            held_oef = held_oef or held_voxels(prepared, read_mask(prepared.mask).array)
            path, _ = write_closed_form(
                quantity,
                to_native(image, prepared, order=1),
                prepared,
                settings.output,
                dataset=settings.dataset,
                maps=NEEDED[quantity],
                constants=constants,
                region=self.model.recipe.preparation.mask,
                held=held,
                held_oef=held_oef,
            )
            self._copy({path: (image, 0.0)}, prepared)
            written.append(quantity)
        more = f" (OEF is held at 1 in {held_oef:,} voxels)" if held_oef else ""
        line = f"{prepared.label}: {', '.join(written)} by closed form{more}"
        return [line] if written else []

    def _may_score(self, prepared: Prepared, target: str, unscored: list[str]) -> bool:
        """Whether a real target shows enough and no model saw it; a line where one did."""
        if not shows_enough(prepared, target):
            return False
        reason = self.guard.reason(prepared)
        if reason is None:
            return True
        line = left_out_line(prepared.label, reason)
        if line not in unscored:
            unscored.append(line)
            self.left_out.append(line)
            LOG.warning("%s", line)
        return False

    def _block(self, target: str, sources: Sequence[str]) -> dict[str, Any]:
        """The sidecar's `SynthesisModel`."""
        card = self.model.card
        pet = MODALITIES[target].datatype == "pet" and bool(card.tracer)
        return {
            **({"Tracer": card.tracer} if pet else {}),
            "Name": card.name,
            "Version": card.version,
            "Recipe": self.model.recipe.name,
            "WeightsSHA256": self.model.sha256,
            "TrainingDataset": card.dataset,
            "SourceModalities": list(sources),
            "Members": len(card.weights),
        }

    def _all_current(self, prepared: Prepared, tasks: Sequence[Task]) -> bool:
        if self.settings.overwrite or self.settings.evaluate:
            return False
        drawn = visit_is_drawn(self.settings.output, prepared)
        return drawn and all(self._current(prepared, task) for task in tasks)

    def _current(self, prepared: Prepared, task: Task) -> bool:
        found = written_synthetic(prepared.visit, prepared, task.target, self.settings.output)
        if found is None or not is_current(
            found[1], key=prepared.key, model=self._block(task.target, task.sources)
        ):
            return False
        return self._copies_are_current(found[0])

    def _copies_are_current(self, original: Path) -> bool:
        spaces, output = self.settings.spaces, self.settings.output
        return all(copy_is_current(original, space, output) for space in spaces)

    def _verdict(self, prepared: Prepared, made: Synthetic) -> Verdict:
        spread = None
        if made.spread is not None:
            inside = (made.made_in or read_mask(prepared.mask)).array > 0
            scale, values = self.model.scales[made.modality], made.spread.array[inside]
            relative = values / made.image.array[inside] if scale.log else values
            spread = float(np.mean(relative, dtype=np.float64)) / scale.gain
        typical = {name: (r.mean, r.sd) for name, r in self.model.card.ranges.items()}
        found = figures(prepared, made.sources)
        if made.made_in is not None:
            inside = read_mask(prepared.mask).array > 0
            found["synthesised"] = float(made.made_in.array[inside].mean())
        region = self.model.recipe.preparation.mask
        if region == "head":
            found.pop("mask_volume", None)  # The limits of the verdict are those of a brain.
        return judge(found, typical, spread, region=region)

    def _copy(self, images: Mapping[Path, tuple[Volume, float]], prepared: Prepared) -> None:
        """Write images, each with its background, in every template that was asked for.

        The keys are the originals; the values lie on the prepared grid, to be resampled once.
        """
        for space in self.settings.spaces:
            volumes = {
                path: to_template(
                    volume, prepared, space, seed=self.settings.seed, background=outside
                )
                for path, (volume, outside) in images.items()
            }
            write_copies(volumes, prepared, space, self.settings.output)

    def _write(self, native: Synthetic, prepared: Prepared, verdict: Verdict) -> list[Path]:
        return write_synthetic(
            native,
            prepared,
            self.settings.output,
            dataset=self.settings.dataset,
            model=self._block(native.modality, native.sources),
            verdict=verdict,
            region=self.model.recipe.preparation.mask,
        )

    def _draw(
        self,
        prepared: Prepared,
        shown: Sequence[tuple[Synthetic, Verdict, Volume | None]],
        scores: pd.DataFrame | None,
        reduced: Mapping[str, Prepared],
    ) -> None:
        card = self.model.card
        facts = {
            "name": card.name,
            "recipe": self.model.recipe.name,
            "version": card.version,
            "sha256": self.model.sha256,
            "dataset": card.dataset,
            "created": card.created,
            "networks": len(card.weights),
            "participants": len(card.training),
            "intended_use": card.intended_use,
        }
        report = VisitReport(
            prepared.visit, prepared, tuple(shown), scores, facts, self._typical(), reduced
        )
        write_visit_figures(self.settings.output, report)

    def _typical(self) -> Mapping[str, tuple[float, float]]:
        """Mean and SD of each modality over training visits, in its unit."""
        ranges, found = self.model.card.ranges, {}
        for modality, scale in self.model.scales.items():
            mean, sd = (ranges.get(f"intensity_{s}_{modality}") for s in ("mean", "sd"))
            if mean is not None and sd is not None:
                ends = scale.invert(np.array([mean.mean, mean.mean + sd.mean]))
                found[modality] = (float(ends[0]), float(ends[1] - ends[0]))
        return found


def rewrite_reports(
    output: Path, participants: Iterable[str], *, sessions_per_page: int
) -> tuple[Path, ...]:
    """The pages of participants from the figures that are there (`--reports-only`)."""
    return tuple(
        write_participant_report(output, participant, sessions_per_page=sessions_per_page)
        for participant in participants
    )


def _images(files: Sequence[Path], made: Synthetic) -> dict[Path, tuple[Volume, float]]:
    """Files of a synthetic image and its spread -> their values and backgrounds."""
    paths = [path for path in files if path.suffix != ".json"]
    values = [(made.image, MODALITIES[made.modality].background), (made.spread, 0.0)]
    pairs = zip(paths, values, strict=False)
    return {path: (volume, outside) for path, (volume, outside) in pairs if volume is not None}


def _line(visit: Visit, made: Synthetic, verdict: Verdict) -> str:
    reasons = f" ({'; '.join(verdict.reasons)})" if verdict.reasons else ""
    sources = " + ".join(made.sources)
    held = f"; {made.held:,} voxels held at the lowest {made.image.unit}" if made.held else ""
    return f"{visit.label}: {made.modality} from {sources}: {verdict.level}{reasons}{held}"


def _own(problems: Sequence[Problem], participant: str) -> list[Problem]:
    return [p for p in problems if p.visit.split("_")[0] == f"sub-{participant}"]
