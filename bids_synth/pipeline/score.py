"""Score a fitted model on its test participants and write the page of the group."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from bids_synth.bids.raw.lesions import lesion_mask
from bids_synth.core.settings import Settings
from bids_synth.core.trust.interval import LEVEL
from bids_synth.core.visit import Prepared
from bids_synth.evaluate.ablation import ALL_SOURCES, Ablation, withheld_sets
from bids_synth.evaluate.regional import Regional
from bids_synth.evaluate.scenarios import scenarios
from bids_synth.evaluate.score import Scored, evaluation_features, score_withheld
from bids_synth.evaluate.trust.evidence import with_scores
from bids_synth.evaluate.trust.intervals import with_interval
from bids_synth.evaluate.trust.judged import judged
from bids_synth.evaluate.trust.predicted import SourcePredictor
from bids_synth.evaluate.trust.trusted import Trusted, with_verdicts
from bids_synth.learn.model.model import Model
from bids_synth.learn.synthesize import Synthesizer, load_start, load_synthesizer
from bids_synth.measure.features import Seen
from bids_synth.measure.table import COLUMNS, summarise, with_frechet, write_rows
from bids_synth.measure.terminal import format_table
from bids_synth.pipeline.visit.withheld import Withheld
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.tasks import Task
from bids_synth.report.figures.synthetic import Shown
from bids_synth.report.pages.group import Example, write_group_report
from bids_synth.report.pages.trust import TrustShown

LOG = logging.getLogger(__name__)
EXAMPLES = 6
"""Most examples on the page of the group, each made of all that its visit has."""


def score_and_report(
    model: Model, held_out: Sequence[Prepared], settings: Settings
) -> tuple[str, Path]:
    """The printed table and the page; tables of scores in the model folder.

    They are `metrics.tsv`, `summary.tsv`, `coverage.tsv` (what the intervals hold), where lesions
    are drawn `lesions.tsv`, of images of arbitrary unit `volumes.tsv`, where the recipe withholds
    sources in turn `ablation.tsv`, and for targets with a physical unit `regions.tsv` and
    `agreement.tsv`. The scores are put into the model's card.
    """
    metrics = model.folder / "metrics.tsv"
    regional, seen, trusted = Regional(), list[Seen](), Trusted(_lesion_masks(held_out, settings))
    withheld = Withheld(model.recipe, settings)
    withheld.prepare(_tasks(held_out, model.recipe))
    rows, examples, ablation = _score(model, held_out, withheld, regional, seen, trusted)
    summary = summarise(rows, resamples=model.recipe.evaluation.bootstrap, seed=settings.seed)
    summary = with_frechet(summary, seen)
    model = with_scores(model, summary, trusted.lesions)
    rows = with_verdicts(rows, model.card)
    write_rows(rows, metrics)
    write_rows(summary, model.folder / "summary.tsv")
    for name, table in trusted.tables().items():
        write_rows(table, model.folder / f"{name}.tsv")
    shown = ablation.shown(model.recipe)
    if shown is not None:
        write_rows(shown.rows, model.folder / "ablation.tsv")
    for name, table in zip(("regions", "agreement"), regional.tables() or (), strict=False):
        write_rows(table, model.folder / f"{name}.tsv")
    page = write_group_report(
        settings.output,
        model_folder=model.folder,
        recipe=model.recipe,
        summary=summary,
        rows=rows,
        examples=examples,
        ablation=shown,
        trust=_trust(model, trusted),
    )
    return "\n".join([format_table(summary), *withheld.missed]), page


def _lesion_masks(held_out: Sequence[Prepared], settings: Settings) -> dict[str, Path]:
    """Label -> the mask of a visit's lesions, where somebody drew them."""
    roots = list(settings.derivatives.values())
    masks = {p.label: lesion_mask(p.visit, settings.dataset, roots) for p in held_out}
    return {label: path for label, path in masks.items() if path is not None}


def _trust(model: Model, trusted: Trusted) -> TrustShown:
    """What the page of the group shows beside the scores."""
    card, tables = model.card, trusted.tables()
    return TrustShown(
        LEVEL,
        (card.alarm.review, card.alarm.fail) if card.alarm else None,
        card.alarm.participants if card.alarm else 0,
        max((entry.participants for entry in card.intervals), default=0),
        tables.get("coverage", pd.DataFrame()),
        tables.get("lesions", pd.DataFrame()),
        trusted.agreement_of_volumes(),
    )


def _tasks(held_out: Sequence[Prepared], recipe: Recipe) -> Iterator[tuple[Prepared, Task]]:
    """All that is scored: every scenario, and the largest of a target without what is ablated."""
    for prepared in held_out:
        largest: dict[str, Task] = {}
        for task in scenarios(prepared, recipe):
            largest.setdefault(task.target, task)
            yield prepared, task
        for task in largest.values():
            yield from ((prepared, left) for _, left in withheld_sets(recipe, task))


def _score(
    model: Model,
    held_out: Sequence[Prepared],
    withheld: Withheld,
    regional: Regional,
    seen: list[Seen],
    trusted: Trusted,
) -> tuple[pd.DataFrame, list[Example], Ablation]:
    synthesizer = load_synthesizer(model, withheld.settings.device)
    baselines, start = model.baselines(), load_start(synthesizer)
    features, predictor = evaluation_features(model.recipe), SourcePredictor(synthesizer)
    rows: list[pd.DataFrame] = []
    examples: list[Example] = []
    ablation = Ablation()
    for visit in held_out:
        tasks = list(scenarios(visit, model.recipe))
        largest: dict[str, Task] = {}
        for task in tasks:
            largest.setdefault(task.target, task)
        own: dict[Task, pd.DataFrame] = {}
        # Targets that are made of the same sources come from one pass.
        for task in sorted(tasks, key=lambda task: task.sources):
            target, sources = task.target, task.sources
            first = largest[target] == task
            prepared = withheld.of(visit, task)
            if prepared is None:
                continue
            LOG.info("scoring %s: %s from %s", prepared.label, target, " + ".join(sources))
            image = synthesizer.synthesize(prepared, target, sources=sources)
            image = with_interval(image, prepared, model.card.intervals)
            image = judged(image, prepared, model, predictor.of(prepared, sources))
            begun = start.synthesize(prepared, target, sources=sources) if start else None
            scored = score_withheld(image, model, baselines, prepared, features, start=begun)
            seen += [scored.seen] if scored.seen else []
            own[task] = scored.rows
            regional.add(scored, prepared)
            trusted.add(scored, prepared, largest=first)
            if first and len(examples) < EXAMPLES:
                examples.append(_example(prepared, scored))
            if first:
                ablation.add(ALL_SOURCES, scored, prepared)
        rows += [own[task] for task in tasks if task in own]
        for task in largest.values():
            _withhold(ablation, synthesizer, withheld, visit, task)
    if not rows:
        LOG.warning("no test visit has a target beside its sources: nothing could be scored")
        return pd.DataFrame(columns=[*COLUMNS]), examples, ablation
    # What was made of most is what the model is for: it is seen first.
    examples.sort(key=lambda example: -len(example.shown.sources))
    return pd.concat(rows, ignore_index=True), examples, ablation


def _withhold(
    ablation: Ablation, synthesizer: Synthesizer, withheld: Withheld, visit: Prepared, task: Task
) -> None:
    """Make and score a target without every set of sources that the recipe withholds."""
    model = synthesizer.model
    for label, left in withheld_sets(model.recipe, task):
        prepared = withheld.of(visit, left)
        if prepared is None:
            continue
        LOG.info("ablation %s: %s %s", prepared.label, task.target, label)
        image = synthesizer.synthesize(prepared, task.target, sources=left.sources)
        ablation.add(label, score_withheld(image, model, None, prepared), prepared)


def _example(prepared: Prepared, scored: Scored) -> Example:
    synthetic = scored.synthetic
    sources = {m: prepared.image(m) for m in synthetic.sources}
    return Example(prepared.label, Shown(synthetic, sources, prepared.native_mask_image))
