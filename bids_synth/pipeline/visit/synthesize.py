"""Synthesise a visit: what it lacks is made, judged, written and drawn, and scored if real."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from tqdm import tqdm  # type: ignore[import-untyped]

from bids_synth.bids.derivatives.closed_forms import computed_of
from bids_synth.core.catalogue import CATALOGUE
from bids_synth.core.scale import Scale
from bids_synth.core.settings import Settings
from bids_synth.core.summary import RESULT
from bids_synth.core.synthetic import Synthetic, Verdict
from bids_synth.core.visit import Prepared, Visit
from bids_synth.evaluate.calibrated import calibrated
from bids_synth.evaluate.leaks import Guard, left_out_line
from bids_synth.evaluate.scenarios import shows_enough
from bids_synth.evaluate.score import Scored, evaluation_features, on_native, score_withheld
from bids_synth.evaluate.trust.intervals import with_interval
from bids_synth.evaluate.trust.judged import judged, with_scores_of
from bids_synth.evaluate.trust.predicted import SourcePredictor
from bids_synth.learn.device import use_threads
from bids_synth.learn.model.model import load_model
from bids_synth.learn.synthesize import load_start, load_synthesizer
from bids_synth.measure.features import Seen
from bids_synth.measure.table import MODEL
from bids_synth.pipeline.discover import dataset_name
from bids_synth.pipeline.visit.reports import VisitResult, draw_visit
from bids_synth.pipeline.visit.site import SiteLevels
from bids_synth.pipeline.visit.withheld import Withheld
from bids_synth.pipeline.visit.write import VisitWriter, scores_told
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.tasks import Task
from bids_synth.report.pages.visit import visit_is_drawn, withdraw_figures
from bids_synth.system.progress import progress

LOG = logging.getLogger(__name__)


@dataclass
class _Album:
    """What is shown of a visit, target by target."""

    images: list[Synthetic] = field(default_factory=list)
    """Each on the native grid, with the real scan where it was scored."""
    reduced: dict[str, Prepared] = field(default_factory=dict)
    """Target -> the visit as it was prepared without that target."""
    rows: list[pd.DataFrame] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    unscored: list[str] = field(default_factory=list)

    @property
    def scores(self) -> pd.DataFrame | None:
        """The rows of all targets; None where none was scored."""
        return pd.concat(self.rows, ignore_index=True) if self.rows else None

    def add(self, native: Synthetic, scored: Scored | None) -> None:
        """Keep an image, as it was scored where it was."""
        if scored is None:
            self.images.append(native)
            return
        self.images.append(scored.synthetic)
        self.rows.append(scored.rows)
        self.seen += [scored.seen] if scored.seen else []


class VisitSynthesis:
    """A model loaded once, applied to one prepared visit after the other.

    `visits` are all of the run: a participant is known to the model by any of them.
    """

    def __init__(
        self, folder: Path, recipe: Recipe, settings: Settings, visits: Sequence[Visit]
    ) -> None:
        self.model = load_model(folder)
        self.recipe = recipe
        self.settings = settings
        use_threads(settings.omp_nthreads, most=settings.nprocs)
        self.synthesizer = load_synthesizer(self.model, settings.device)
        self.predictor = SourcePredictor(self.synthesizer)
        self.baselines = self.model.baselines()
        self.start = load_start(self.synthesizer) if settings.evaluate else None
        self.features = evaluation_features(recipe) if settings.evaluate else None
        # Who is not scored is looked for by the scans of the visit at hand alone.
        known = visits if settings.evaluate else ()
        self.guard = Guard(self.model.card, dataset_name(settings.dataset), known)
        self.withheld = Withheld(self.model.recipe, settings)
        self.site = SiteLevels(self.model.recipe, settings)
        self.writer = VisitWriter(self.model, recipe, settings)
        self.left_out: list[str] = []

    @property
    def notes(self) -> list[str]:
        """One line for everything that was not scored, and why."""
        return [*self.left_out, *self.withheld.missed]

    def tasks(self, visit: Visit) -> list[Task]:
        """What this run makes for a visit: what it lacks, with `--evaluate` the real too."""
        tasks = self.recipe.tasks(visit.scans, visit.doubtful)
        return [task for task in tasks if self.settings.evaluate or not task.real]

    def wants(self, visit: Visit) -> bool:
        """Whether this run makes or computes anything for a visit."""
        return bool(self.tasks(visit) or computed_of(visit, self.recipe))

    def withhold(self, prepared: Iterable[Prepared]) -> None:
        """Prepare, side by side, what these visits are without a reference that is to be made."""
        self.withheld.prepare(
            (item, task) for item in prepared for task in self.tasks(item.visit) if task.real
        )

    def progress(self, prepared: Iterable[Prepared]) -> tqdm:
        """The line that is shown while the images of these visits are made."""
        count = sum(len(self.tasks(item.visit)) for item in prepared)
        return progress(count, "synthesising", quiet=self.settings.quiet, leave=False)

    def synthesize(
        self, prepared: Prepared, made: Callable[[], object] = lambda: None
    ) -> VisitResult:
        """Make, judge, write, score and draw every target of a visit; `made` hears of each."""
        visit, tasks = prepared.visit, self.tasks(prepared.visit)
        lines = self.writer.compute(prepared)
        if self._all_current(prepared, tasks) and (tasks or not lines):
            named = [task.target for task in tasks] or computed_of(visit, self.recipe)
            lines = [*lines, f"{visit.label}: {', '.join(named)} up to date"]
            _tell(lines)
            return VisitResult(visit, tuple(lines), current=True)
        withdraw_figures(self.settings.output, prepared)
        album = _Album()
        for task in tasks:
            lines += self._one(task, prepared, album)
            made()
        draw_visit(
            self.model,
            self.settings,
            prepared,
            album.images,
            album.scores,
            album.reduced,
            self._leak(prepared) if album.images else None,
        )
        _tell(lines)
        levels = tuple(image.verdict.level for image in album.images if image.verdict)
        told = (*lines, *album.unscored)
        return VisitResult(visit, told, album.scores, tuple(album.seen), levels)

    def _one(self, task: Task, full: Prepared, album: _Album) -> list[str]:
        """The path of one image; the line that tells of it, none where it cannot be made."""
        prepared = self.withheld.of(full, task) if task.real else full
        if prepared is None:
            return []
        if prepared is not full:
            album.reduced[task.target] = prepared
        image = self.synthesizer.synthesize(prepared, task.target, sources=task.sources)
        image = with_interval(image, prepared, self.model.card.intervals)
        predicted = self.predictor.of(prepared, task.sources)
        image = with_scores_of(judged(image, prepared, self.model, predicted), self.model.card)
        _note_checks(full.label, image)
        site = self.site.of(task.target, full.visit.participant)
        if site is not None:
            image = calibrated(image, prepared, site)
        native = on_native(image, prepared)
        scale = site.scale if site is not None and image.donors else None
        scored = self._scored(image, task, prepared, full, album.unscored, scale)
        told = scores_told(scored)
        self.writer.write(image, native, prepared, leak=self._leak(prepared), scores=told)
        album.add(native, scored)
        return [_line(full.visit, image, scored)]

    def _leak(self, prepared: Prepared) -> str | None:
        """Why the participant is no stranger to the model; None where it is one."""
        return self.guard.reason(prepared)

    def _scored(
        self,
        image: Synthetic,
        task: Task,
        prepared: Prepared,
        full: Prepared,
        unscored: list[str],
        scale: Scale | None,
    ) -> Scored | None:
        """The scores of an image whose target is real; None where it is not, or may not be.

        `scale` is that of the image; None where it is the model's own.
        """
        if not (task.real and self._may_score(full, task.target, unscored)):
            return None
        begun = None
        if self.start is not None:
            begun = self.start.synthesize(prepared, task.target, sources=task.sources)
        return score_withheld(
            image,
            self.model,
            self.baselines,
            prepared,
            self.features,
            start=begun,
            scale=scale,
        )

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

    def _all_current(self, prepared: Prepared, tasks: Sequence[Task]) -> bool:
        if self.settings.overwrite or self.settings.evaluate:
            return False
        drawn = visit_is_drawn(self.settings.output, prepared)
        return drawn and all(self.writer.is_current(prepared, task) for task in tasks)


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        LOG.info("%s", line, extra=RESULT)


def _note_checks(label: str, image: Synthetic) -> None:
    """Everything that the verdict looked at, for the log."""
    for check in image.verdict.checks if image.verdict else ():
        wanted = f", expected {check.expected}" if check.expected else ""
        text = "%s: %s: %s: %s%s: %s"
        LOG.debug(text, label, image.modality, check.words, check.value, wanted, check.level)


def _line(visit: Visit, synthetic: Synthetic, scored: Scored | None) -> str:
    """What is printed of an image: its verdict and, where it was scored, its scores."""
    verdict = synthetic.verdict or Verdict("review")
    reasons = f" ({'; '.join(verdict.reasons)})" if verdict.reasons else ""
    sources = " + ".join(synthetic.sources)
    held = (
        f"; {synthetic.held:,} voxels held at the lowest {synthetic.image.unit}"
        if synthetic.held
        else ""
    )
    told = f"{verdict.level}{_scores(scored)}{reasons}{held}"
    return f"{visit.label}: {synthetic.modality} from {sources}: {told}"


def _scores(scored: Scored | None) -> str:
    """Scores of the model by the first protocol, and what its interval held; or nothing."""
    rows = None if scored is None else scored.rows[scored.rows["method"] == MODEL]
    if rows is None or rows.empty:
        return ""
    row = rows.iloc[0]
    parts = [
        f"{CATALOGUE[name].short.split(',')[0]} {row[name]:.{CATALOGUE[name].digits}f}"
        for name in ("psnr", "ssim", "mae")
        if pd.notna(row[name])
    ]
    if pd.notna(row["coverage"]):
        parts.append(f"{100 * row['coverage']:.0f} % inside the interval")
    return f", {', '.join(parts)}"
