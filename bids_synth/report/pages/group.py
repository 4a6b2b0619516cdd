"""The page of a model: pictures and one table first; all else is folded below."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import bids_synth
from bids_synth.core.split import read_split
from bids_synth.errors import UsageError
from bids_synth.recipe.recipe import Recipe
from bids_synth.recipe.sections.network import ContextPart, OwnPart
from bids_synth.report.figures.ablation import (
    AblationShown,
    agreement_lines,
    draw_ablation,
    draw_agreement,
)
from bids_synth.report.figures.canvas import styled, svg_text, unit_words
from bids_synth.report.figures.group import draw_curves, draw_scores
from bids_synth.report.figures.mosaic import draw_mosaic
from bids_synth.report.figures.planes import choose_planes
from bids_synth.report.figures.synthetic import Shown, comparison
from bids_synth.report.pages.alt_texts import (
    ablation_words,
    agreement_words,
    coverage_words,
    curve_words,
    example_words,
    score_words,
    strangeness_words,
)
from bids_synth.report.pages.fragments import plain_facts
from bids_synth.report.pages.score_tables import START, first_protocol, overview, score_tables
from bids_synth.report.pages.templates import page_with
from bids_synth.report.pages.trust import TrustShown, trust_parts
from bids_synth.spatial.volume import read_json_object, write_text


@dataclass(frozen=True, eq=False)
class Example:
    """A test visit's synthetic image to be looked at."""

    visit: str
    """Label of the visit."""
    shown: Shown
    """Sources, synthetic and real image, mask and spread."""


def write_group_report(
    output: Path,
    *,
    model_folder: Path,
    recipe: Recipe,
    summary: pd.DataFrame,
    rows: pd.DataFrame,
    examples: Sequence[Example] = (),
    ablation: AblationShown | None = None,
    trust: TrustShown | None = None,
) -> Path:
    """Write `output/group.html`, one file that needs no other; returns its path.

    `rows` and `summary` are the table of scores and its summary. `training.tsv`, `split.tsv`
    and `model.json` are read from the model folder where they are there.
    """
    split = _split(model_folder / "split.tsv")
    protocols = recipe.evaluation.protocols
    tables = [] if summary.empty else score_tables(summary, protocols)
    first = first_protocol(rows, protocols)
    text = page_with(
        "group.html",
        sheets=("dataset.css", "group.css"),
        scripts=("folds.js",),
        model=model_folder.name,
        task=recipe.task,
        examples=[_example(example) for example in examples],
        compared=_compared(examples),
        overview=overview(first_protocol(summary, protocols)) if tables else None,
        tables=tables,
        begun=any(START in table["methods"] for table in tables),
        strip=_picture(draw_scores(first), score_words(first))
        if tables and not first.empty
        else None,
        protocol=str(first["protocol"].iloc[0]) if not first.empty else "",
        ablation=[] if ablation is None else _ablation(ablation, protocols),
        trust=None if trust is None else _trust(trust, first),
        curves=_curves(model_folder / "training.tsv"),
        split=split,
        people=_people(split),
        facts=_facts(model_folder / "model.json", recipe),
        toml=recipe.to_toml(),
        version=bids_synth.__version__,
    )
    return write_text(text, output / "group.html")


def _example(example: Example) -> dict[str, str]:
    shown = example.shown
    planes = choose_planes(shown.mask, axial=(0.58,), sagittal=(0.52,))
    with styled():
        svg = svg_text(draw_mosaic(comparison(shown, planes, doubt=True)))
    return {
        "visit": example.visit,
        "modality": shown.synthetic.modality,
        "sources": ", ".join(shown.sources),
        **_picture(svg, example_words(example.visit, shown)),
    }


def _compared(examples: Sequence[Example]) -> str:
    """What is drawn beside the images, as the beginning of a sentence; empty for nothing."""
    shown = [example.shown.synthetic for example in examples]
    error = any(one.real is not None for one in shown)
    interval = any(one.interval is not None for one in shown)
    spread = any(one.uncertainty is not None for one in shown)
    doubt = ["the interval"] if interval else ["the spread of the networks"] * spread
    words = " and ".join(["the error"] * error + doubt)
    number = "are" if " and " in words else "is"
    return f"{words[0].upper()}{words[1:]} {number} drawn" if words else ""


def _trust(shown: TrustShown, rows: pd.DataFrame) -> dict[str, Any]:
    parts = trust_parts(shown, rows)
    if parts["strangeness"]:
        parts["strangeness"] = _picture(parts["strangeness"], strangeness_words(rows))
    if parts["held"]:
        parts["held"] = _picture(parts["held"], coverage_words(shown.coverage))
    return parts


def _ablation(shown: AblationShown, protocols: Sequence[str]) -> list[dict[str, Any]]:
    protocol = str(first_protocol(shown.rows, protocols)["protocol"].iloc[0])
    parts = []
    for target in shown.targets:
        lines = agreement_lines(shown, target)
        boxes = draw_ablation(shown, target, protocol)
        parts.append(
            {
                "target": target,
                "unit": unit_words(shown.units[target]),
                "protocol": protocol,
                "boxes": _picture(boxes, ablation_words(shown, target, protocol)),
                "agreement": _picture(
                    draw_agreement(shown, target), agreement_words(target, lines)
                ),
                "lines": lines,
            }
        )
    return parts


def _picture(svg: str, words: str) -> dict[str, Any]:
    """A drawing inside the page, with what is seen in it."""
    data = base64.b64encode(svg.encode()).decode()
    return {"source": f"data:image/svg+xml;base64,{data}", "words": words}


def _curves(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        training = pd.read_csv(path, sep="\t", na_values=["n/a"])
    except ValueError:
        return None
    if training.empty or not {"step", "loss"} <= set(training):
        return None
    known = {c for c in training if training[c].notna().any()}
    return {
        **_picture(draw_curves(training), curve_words(training)),
        "scored": bool(known & {"score", "validation_score"}),
        "discriminator": "discriminator_accuracy" in known,
    }


def _split(path: Path) -> list[dict[str, list[str]]]:
    try:
        split = read_split(path)
    except UsageError:
        return []
    test = sorted(split.test)
    return [
        {"training": sorted(f.training), "validation": sorted(f.validation), "test": test}
        for f in split.folds
    ]


def _people(split: Sequence[dict[str, list[str]]]) -> str:
    """How many participants are in which part, of the first fold."""
    if not split:
        return ""
    counts = ", ".join(f"{len(split[0][part])} {part}" for part in split[0])
    folds = f" in each of {len(split)} folds" if len(split) > 1 else ""
    return f"{counts}{folds}"


def _facts(path: Path, recipe: Recipe) -> list[tuple[str, str]]:
    card = plain_facts(read_json_object(path) or {})
    facts = [(words, value) for words, value in card if words != "recipe"]
    spacing, fit = recipe.grid.spacing, recipe.fit
    network = f"{recipe.network.name}, {_size(recipe)}"
    return [
        *facts,
        ("recipe", recipe.name),
        ("follows", recipe.source or "n/a"),
        ("modalities", ", ".join(f"{m} ({role})" for m, role in recipe.modalities.items())),
        ("prepared grid", f"{spacing:g} mm"),
        ("network", f"{network}; {fit.members} per fold, {fit.steps} steps each"),
        ("recipe sha256", recipe.digest()),
    ]


def _size(recipe: Recipe) -> str:
    own = recipe.network
    if isinstance(own, OwnPart):
        return own.import_
    return f"width {own.width}" if isinstance(own, ContextPart) else f"{own.filters} filters"
