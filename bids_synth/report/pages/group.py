"""The page of a model: scores beside the baselines, examples, curves, participants, recipe."""

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
from bids_synth.report.pages.fragments import plain_facts
from bids_synth.report.pages.score_tables import START, first_protocol, score_tables, score_tiles
from bids_synth.report.pages.templates import page
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
    text = page(
        "group.html",
        model=model_folder.name,
        task=recipe.task,
        tiles=score_tiles(first_protocol(summary, protocols), _people(split)),
        tables=tables,
        begun=any(START in table["methods"] for table in tables),
        strip=_picture(draw_scores(first)) if tables and not first.empty else "",
        protocol=str(first["protocol"].iloc[0]) if not first.empty else "",
        examples=[_example(example) for example in examples],
        ablation=[] if ablation is None else _ablation(ablation, protocols),
        trust=None if trust is None else _trust(trust, first),
        curves=_curves(model_folder / "training.tsv"),
        split=split,
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
        "picture": _picture(svg),
    }


def _trust(shown: TrustShown, rows: pd.DataFrame) -> dict[str, Any]:
    parts = trust_parts(shown, rows)
    drawn = {name: _picture(parts[name]) for name in ("strangeness", "held") if parts[name]}
    return parts | drawn


def _ablation(shown: AblationShown, protocols: Sequence[str]) -> list[dict[str, Any]]:
    protocol = str(first_protocol(shown.rows, protocols)["protocol"].iloc[0])
    return [
        {
            "target": target,
            "unit": unit_words(shown.units[target]),
            "protocol": protocol,
            "boxes": _picture(draw_ablation(shown, target, protocol)),
            "agreement": _picture(draw_agreement(shown, target)),
            "lines": agreement_lines(shown, target),
        }
        for target in shown.targets
    ]


def _picture(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _curves(path: Path) -> str:
    if not path.is_file():
        return ""
    try:
        training = pd.read_csv(path, sep="\t", na_values=["n/a"])
    except ValueError:
        return ""
    if training.empty or not {"step", "loss"} <= set(training):
        return ""
    return _picture(draw_curves(training))


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
    if not split:
        return ""
    first = split[0]
    return " / ".join(str(len(first[part])) for part in ("training", "validation", "test"))


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
