"""What a fit would cost here: time, memory and disk, before hours are spent."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_synth.core.settings import Settings
from bids_synth.core.split import Split
from bids_synth.core.visit import Visit
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.network import POINTWISE
from bids_synth.system.durations import duration

if TYPE_CHECKING:
    from bids_synth.learn.probe import Cost

OF_VISIT, OF_SCAN = 20.0, 15.0
"""Seconds of one core in which a visit, and each of its scans, is prepared: a rule of thumb."""
KEPT_OF_SCAN = 12e6
"""Bytes of a scan in the output and in the work directory once it is prepared."""
OVERLAPPING = 2.0
"""How much longer an image takes than in a look, whose windows overlap less."""


@dataclass(frozen=True)
class Estimate:
    """All that a run of the group level would take."""

    fit: Cost
    fit_seconds: float
    """Of all steps and looks, or as asked for."""
    steps: int
    """Of each network, as far as the time asked for suffices."""
    fresh: int
    """Visits that are not prepared yet."""
    prepare_seconds: float
    score_seconds: float
    """Of measuring intervals and limits, and of the scores on test participants."""
    disk_gb: float
    free_gb: float

    @property
    def seconds(self) -> float:
        """From the first scan to the page."""
        return self.prepare_seconds + self.fit_seconds + self.score_seconds


def estimated(
    recipe: Recipe, split: Split, visits: Sequence[Visit], settings: Settings
) -> Estimate | None:
    """The cost of preparing, fitting and scoring; None for a recipe that cannot be probed.

    UsageError where `--fit-minutes` does not suffice for its networks here.
    """
    from bids_synth.learn.budget import steps_within
    from bids_synth.learn.device import use_threads
    from bids_synth.learn.probe import can_be_probed, probe
    from bids_synth.measure.protocol import prepared_score

    if not can_be_probed(recipe):
        return None
    use_threads(settings.omp_nthreads, most=settings.nprocs)
    folds = 1 if settings.fold is not None else len(split.folds)
    validating = [v for v in visits if v.participant in split.folds[0].validation]
    fit = probe(
        recipe,
        prepared_score,
        folds=folds,
        present=[tuple(visit.scans) for visit in validating],
        seed=settings.seed,
        device=settings.device,
    )
    steps, seconds = fit.steps, fit.seconds
    if settings.fit_minutes is not None:
        seconds = 60 * settings.fit_minutes
        steps = steps_within(seconds, fit.networks, fit.step, fit.look)
    if settings.tune:
        seconds *= settings.tune / fit.networks
    fresh = [visit for visit in visits if not _is_prepared(visit, settings.output)]
    scans = sum(len(_scans(visit, recipe)) for visit in fresh)
    prepare = (OF_VISIT * len(fresh) + OF_SCAN * scans) / settings.nprocs
    disk = KEPT_OF_SCAN * scans + fit.visit_bytes * len(visits)
    existing = next(p for p in (settings.work, *settings.work.parents) if p.exists())
    return Estimate(
        fit,
        seconds,
        steps,
        len(fresh),
        prepare,
        0.0 if settings.tune else _score_seconds(recipe, split, visits, fit),
        disk / 1e9,
        shutil.disk_usage(existing).free / 1e9,
    )


def estimate_lines(
    estimate: Estimate | None, visits: Sequence[Visit], settings: Settings
) -> list[str]:
    """The estimate as a user reads it."""
    if estimate is None:
        text = "time: unknown; this recipe fits a network to compare images by, or needs no pairs"
        return [f"{text}, and no short probe tells: --fit-minutes holds it to a time"]
    fit = estimate.fit
    short = fit.memory_gb > settings.memory_gb and fit.device == "cpu"
    fresh = f"{estimate.fresh} of {len(visits)} visits"
    parts = (
        f"{duration(estimate.prepare_seconds)} to prepare {fresh}",
        f"{duration(estimate.fit_seconds)} to fit",
        f"{duration(estimate.score_seconds)} to measure intervals and score",
    )
    looks = duration(fit.look)
    memory = f"memory: about {fit.memory_gb:.1f} GB of {_memory_of(fit, settings)}"
    disk = f"disk: about {estimate.disk_gb:.1f} GB in {settings.work} and {settings.output}"
    return [
        f"fit: {_what(estimate, settings)} on {fit.device}, {settings.nprocs} threads",
        f"measured just now on random images: a step {fit.step:.2g} s, a look {looks}",
        f"time: about {duration(estimate.seconds)}: {', '.join(parts)}",
        memory + ("; not enough: give the job more, or a smaller fit.batch" if short else ""),
        f"{disk}; {estimate.free_gb:.0f} GB are free",
    ]


def _what(estimate: Estimate, settings: Settings) -> str:
    if settings.tune:
        return f"{settings.tune} trials of one network"
    networks = estimate.fit.networks
    looks = f"{estimate.fit.looks} looks" if estimate.fit.looks else "no look"
    many = f"{networks} network{'s' * (networks > 1)}"
    return f"{many} x {estimate.steps:,} steps with {looks} each"


def estimate_json(estimate: Estimate | None) -> Mapping[str, Any] | None:
    """The estimate for programs; None where there is none."""
    if estimate is None:
        return None
    fit = estimate.fit
    return {
        "device": fit.device,
        "networks": fit.networks,
        "steps": estimate.steps,
        "looks": fit.looks,
        "seconds": round(estimate.seconds),
        "seconds_prepare": round(estimate.prepare_seconds),
        "seconds_fit": round(estimate.fit_seconds),
        "seconds_score": round(estimate.score_seconds),
        "seconds_of_step": round(fit.step, 4),
        "seconds_of_look": round(fit.look, 2),
        "memory_gb": round(fit.memory_gb, 2),
        "disk_gb": round(estimate.disk_gb, 2),
    }


def _memory_of(fit: Cost, settings: Settings) -> str:
    return f"{settings.memory_gb:g} GB to plan with" if fit.device == "cpu" else "the card's"


def _score_seconds(recipe: Recipe, split: Split, visits: Sequence[Visit], fit: Cost) -> float:
    """Of every image of a validation visit by its fold's networks, of a test visit by all."""
    images = 0
    for visit in visits:
        real = sum(task.real for task in recipe.tasks(visit.scans, visit.doubtful))
        tested = visit.participant in split.test
        validates = sum(visit.participant in fold.validation for fold in split.folds)
        images += real * (fit.networks if tested else recipe.fit.members * validates)
    return images * fit.image * (1 if recipe.network.name in POINTWISE else OVERLAPPING)


def _scans(visit: Visit, recipe: Recipe) -> list[str]:
    return [m for m in recipe.modalities if m in visit.scans]


def _is_prepared(visit: Visit, output: Path) -> bool:
    """Whether an earlier run has prepared the visit, by names alone: no scan is read."""
    folder = output / f"sub-{visit.participant}"
    folder = folder / f"ses-{visit.session}" if visit.session else folder
    return any(folder.glob("*/*_desc-preproc_*.nii.gz"))
