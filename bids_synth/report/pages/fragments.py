"""Fragments: the words and tables of a visit's report, as escaped HTML."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

import bids_synth
from bids_synth.core.catalogue import CATALOGUE
from bids_synth.core.scale import HIGH, LOW
from bids_synth.core.synthetic import Synthetic
from bids_synth.core.visit import Prepared
from bids_synth.report.figures.canvas import unit_words
from bids_synth.report.pages.templates import render
from bids_synth.spatial.grid import Grid
from bids_synth.spatial.volume import read_grid

METRICS = ("psnr", "ssim", "ms_ssim", "mae", "rmse", "nmae", "pearson", "perceptual")
"""Columns of the table of one visit."""
_FACTS = {
    "name": "name",
    "version": "fitted with bids_synth",
    "recipe": "recipe",
    "weightssha256": "weights sha256",
    "sha256": "sha256",
    "created": "fitted",
    "dataset": "training dataset",
    "trainingdataset": "training dataset",
    "participants": "training participants",
    "folds": "folds",
    "members": "networks",
    "networks": "networks",
    "licence": "licence",
    "intendeduse": "intended use",
}
_LIBRARIES = ("antspyx", "nipype", "torch", "monai", "nibabel", "numpy", "scipy", "scikit-image")


def summary_html(
    prepared: Prepared,
    synthetics: Sequence[Synthetic],
    model: Mapping[str, Any],
    leak: str | None = None,
) -> str:
    """What was present, what was made of it, with which model, and the verdicts.

    `leak` says why the participant is no stranger to the model; None where it is one.
    """
    cards = [
        {
            "modality": synthetic.modality,
            "sources": ", ".join(synthetic.sources),
            "level": synthetic.verdict.level,
            "reasons": synthetic.verdict.reasons,
            "real": synthetic.real is not None,
            "interval": _interval(synthetic),
            "checks": [c for c in synthetic.verdict.checks if c.name != "lesions"],
            "limits": [c.value for c in synthetic.verdict.checks if c.name == "lesions"],
        }
        for synthetic in synthetics
        if synthetic.verdict is not None
    ]
    withheld = {synthetic.modality for synthetic in synthetics if synthetic.real is not None}
    scans = [_scan_row(prepared, modality, withheld) for modality in prepared.visit.scans]
    return render("summary.html", images=cards, scans=scans, model=plain_facts(model), leak=leak)


def scores_html(scores: pd.DataFrame | None) -> str:
    """The table of one visit's scores; empty where nothing was scored."""
    if scores is None or scores.empty:
        return ""
    shown = [m for m in METRICS if m in scores and scores[m].notna().any()]
    rows = []
    for record in scores.to_dict("records"):
        values = [_score(record[m], CATALOGUE[m].digits) for m in shown]
        held = record.get("coverage")
        share = "" if held is None or pd.isna(held) else f"{100 * held:.0f} %"
        verdict = record.get("verdict")
        level = verdict if isinstance(verdict, str) else ""
        rows.append({**record, "scores": values, "level": level, "held": share})
    return render("scores.html", metrics=[CATALOGUE[m].short for m in shown], rows=rows)


def viewer_html(script: Path, modality: str, participant: str) -> str:
    """The place of a viewer, whose volumes are in the script beside the figures."""
    return render(
        "viewer.html",
        volumes=script.stem,
        address=f"./sub-{participant}/figures/{script.name}",
        modality=modality,
        megabytes=f"{script.stat().st_size / 1e6:.1f}",
    )


def methods_html(
    prepared: Prepared,
    synthetics: Sequence[Synthetic],
    model: Mapping[str, Any],
    reduced: Mapping[str, Prepared] = MappingProxyType({}),
) -> str:
    """What was done, in words that may go into a paper, with the versions that did it."""
    paragraphs = [_preparation(prepared)]
    if synthetics:
        paragraphs.append(_synthesis(prepared, synthetics, model))
    paragraphs += [
        f"The {target} was made from the visit as it is prepared without that scan, with the "
        f"{left.reference} as reference, and compared on the native grid of the {left.reference}."
        for target, left in reduced.items()
    ]
    versions = [("bids_synth", bids_synth.__version__), *_versions()]
    return render("methods.html", paragraphs=paragraphs, versions=versions)


def plain_facts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a reader wants to know of a model's card, in words; other entries are left out.

    Keys may be spelled as in the card or as in a sidecar.

    >>> plain_facts({"Name": "impute", "WeightsSHA256": "ab", "salt": "x", "members": 2})
    [('name', 'impute'), ('weights sha256', 'ab'), ('networks', '2')]
    """
    spelled = {key.lower().replace("_", ""): value for key, value in facts.items()}
    return [
        (words, str(spelled[key]))
        for key, words in _FACTS.items()
        if isinstance(spelled.get(key), str | int | float) and str(spelled[key])
    ]


def _scan_row(prepared: Prepared, modality: str, withheld: Collection[str]) -> dict[str, str]:
    path = prepared.visit.scans[modality].path
    grid = prepared.native if modality == prepared.reference else read_grid(path)
    role = "reference" if modality == prepared.reference else ""
    if not role and modality in prepared.images:
        role = "registered to the reference"
    if modality in withheld:
        role += f"{', ' if role else ''}compared with the synthetic {modality}"
    if modality in prepared.coverage:
        share = 100 * prepared.quality[f"coverage_{modality}"]
        role += f"{', ' if role else ''}covers {share:.0f} % of the mask"
    alignment = prepared.quality.get(f"registration_{modality}")
    return {
        "modality": modality,
        "file": path.name,
        "shape": " × ".join(str(n) for n in grid.shape),
        "spacing": _spacing(grid),
        "role": role or "not used",
        "alignment": "" if alignment is None else f"{alignment:.3f}",
    }


def _spacing(grid: Grid) -> str:
    return " × ".join(f"{s:.3g}" for s in grid.spacing)


def _score(value: float, digits: int) -> str:
    return "n/a" if pd.isna(value) else f"{value:.{digits}f}"


def _interval(synthetic: Synthetic) -> str:
    """How wide the interval is, and what it held of held-out people; empty without one."""
    interval = synthetic.interval
    if interval is None:
        return ""
    half = interval.half_width.array
    mean = float(half[half > 0].mean()) if (half > 0).any() else 0.0
    unit = unit_words(synthetic.image.unit)
    people = f"{interval.participants} held-out participant" + (
        "" if interval.participants == 1 else "s"
    )
    width = f"\N{PLUS-MINUS SIGN}{mean:.3g} {unit} on average"
    text = f"{100 * interval.level:.0f} % interval: {width}, by {people}"
    if interval.coverage:
        low, high = (100 * end for end in (min(interval.coverage), max(interval.coverage)))
        text += f", of whom it held {low:.0f} to {high:.0f} % when fitted on the others"
    return text


def _preparation(prepared: Prepared) -> str:
    others = [m for m in prepared.images if m != prepared.reference]
    words = []
    words.append(
        f"The {prepared.reference} scan of {prepared.label} (voxels of "
        f"{_spacing(prepared.native)} mm) was the reference."
    )
    if others:
        words.append(
            f"The {_listed(others)} {'was' if len(others) == 1 else 'were'} registered to it by "
            "a rigid transform that maximises mutual information (ANTs)."
        )
    if prepared.visit.brain_mask is not None and not prepared.notes:
        words.append("The mask was taken from the derivatives of another pipeline.")
    elif prepared.stripped:
        words.append("The scans came without skull, and the mask was taken from them.")
    else:
        words.append("The mask was found in the reference scan.")
    words.append(
        f"All images were resampled once to a grid of {prepared.grid.spacing[0]:.3g} mm and "
        f"scaled linearly, so that {_scaled_to(prepared)}."
    )
    return " ".join(words)


def _scaled_to(prepared: Prepared) -> str:
    if prepared.levels:
        return "white matter became 1 and 0 stayed"
    return (
        f"percentiles {LOW} and {HIGH} inside the mask (or the fixed window of a quantitative "
        "image) became 0 and 1"
    )


def _synthesis(
    prepared: Prepared, synthetics: Sequence[Synthetic], model: Mapping[str, Any]
) -> str:
    several = any(synthetic.spread is not None for synthetic in synthetics)
    interval = next((s.interval for s in synthetics if s.interval is not None), None)
    name = f" {model['name']}" if model.get("name") else ""
    words = [
        f"The {synthetic.modality} was synthesised from {_listed(synthetic.sources)}."
        for synthetic in synthetics
    ]
    words.append(
        f"The model{name} was applied to overlapping patches that were blended with Gaussian "
        "weights, and the result was returned to the unit of the image and to the native grid of "
        f"the {prepared.reference} scan."
    )
    if several:
        words.append(
            "The image is the mean over the model's networks, and the spread their standard "
            "deviation."
        )
    if interval is not None:
        words.append(
            f"Every voxel has a {100 * interval.level:.0f} % interval by split conformal "
            "prediction: a width that follows the voxel's value, its depth in the mask, the edges "
            "around it and the spread, multiplied until it held on the errors of "
            f"{interval.participants} validation participant(s)."
        )
    words += [
        f"White matter of the {synthetic.modality} was brought to its level in the real scans of "
        f"{_listed([f'sub-{p}' for p in synthetic.donors])}."
        for synthetic in synthetics
        if synthetic.donors
    ]
    if any(synthetic.real is not None for synthetic in synthetics):
        words.append(
            "Where a real image exists it was withheld from the model, resampled to that grid "
            "and used for the scores alone."
        )
    return " ".join(words)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _versions() -> list[tuple[str, str]]:
    versions = []
    for name in _LIBRARIES:
        try:
            versions.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return versions
