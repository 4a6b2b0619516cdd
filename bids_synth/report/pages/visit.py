"""What is shown of one visit: figures and fragments written into `sub-<label>/figures`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bids_synth.core.modality import MODALITIES
from bids_synth.core.synthetic import Synthetic
from bids_synth.core.visit import Prepared
from bids_synth.errors import VisitError
from bids_synth.report.figures.canvas import SYNTHETIC
from bids_synth.report.figures.planes import Window
from bids_synth.report.figures.scan import draw_flicker, draw_slices
from bids_synth.report.figures.synthetic import (
    Shown,
    draw_histogram,
    draw_synthetic,
    draw_uncertainty,
)
from bids_synth.report.pages.fragments import (
    methods_html,
    scores_html,
    summary_html,
    viewer_html,
)
from bids_synth.report.viewer.volumes import write_volumes
from bids_synth.spatial.volume import stays_inside, write_text

_DESCS = (
    *("scans", "flicker", "synth", "histogram", "uncertainty", "spread", "slices", "viewer"),
    *("summary", "methods", "scores"),
)
"""What is removed where this run did not draw it; `spread` is of earlier versions."""
LAST = "summary"
"""The fragment that is written when everything else is there."""


@dataclass(frozen=True, eq=False)
class VisitReport:
    """Everything that the report of one visit tells."""

    prepared: Prepared
    """What was acquired, and how it was prepared."""
    synthetics: tuple[Synthetic, ...] = ()
    """Every synthetic image on the native grid, with its verdict."""
    scores: pd.DataFrame | None = None
    """Rows of the table of scores that belong to this visit."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """Facts of the model's card; what is text or a number is shown."""
    training_ranges: Mapping[str, Window] = field(default_factory=dict)
    """Modality -> mean and standard deviation over training visits, in scaled numbers."""
    reduced: Mapping[str, Prepared] = field(default_factory=dict)
    """Target -> the preparation without it that it was made from, where that is another."""
    leak: str | None = None
    """Why the participant is no stranger to the model; None where it is one."""


def write_visit_figures(output: Path, report: VisitReport) -> tuple[Path, ...]:
    """Write the figures and text fragments of a visit; returns their paths.

    The page is made from these files by `write_participant_report`, now or later. Those that
    an earlier run drew of this visit and this one did not are removed.
    """
    prepared = report.prepared
    folder = _folder(output, prepared.visit.participant)
    mask = prepared.mask_image
    images = {m: prepared.image(m) for m in prepared.images}

    def at(desc: str, modality: str, extension: str = ".svg") -> Path:
        return folder / file_name(prepared.label, desc, modality, extension)

    reference = prepared.reference
    written = [draw_slices(m, image, mask, at("scans", m)) for m, image in images.items()]
    for modality in prepared.transforms:
        pair = ((reference, images[reference]), (modality, images[modality]))
        written.append(draw_flicker(*pair, mask, at("flicker", modality)))
    for synthetic in report.synthetics:
        written += _draw_synthetic(report, synthetic, at)
    fragments = {
        "scores": scores_html(report.scores),
        "methods": methods_html(prepared, report.synthetics, report.model, report.reduced),
        LAST: summary_html(prepared, report.synthetics, report.model, report.leak),
    }
    for desc, text in fragments.items():
        if text:
            written.append(write_text(text, at(desc, reference, ".html")))
    _remove_others(folder, prepared.label, {path.name for path in written})
    return tuple(written)


def _draw_synthetic(
    report: VisitReport, synthetic: Synthetic, at: Callable[..., Path]
) -> list[Path]:
    name, own = synthetic.modality, report.reduced.get(synthetic.modality, report.prepared)
    sources = {m: own.image(m) for m in synthetic.sources if m in own.images}
    shown = Shown(synthetic, sources, own.native_mask_image)
    training_range = report.training_ranges.get(name)
    slices: dict[str, Any] = {"colour": SYNTHETIC, "outline": False}
    script = write_volumes(shown, at("viewer", name, ".js"), targets=len(report.synthetics))
    place = viewer_html(script, name, own.visit.participant)
    written = [
        script,
        write_text(place, at("viewer", name, ".html")),
        draw_synthetic(shown, at("synth", name)),
        draw_histogram(shown, at("histogram", name), training_range=training_range),
        draw_slices(
            f"synthetic {name}", synthetic.image, shown.mask, at("slices", name), **slices
        ),
    ]
    if synthetic.uncertainty is not None:
        written.append(draw_uncertainty(shown, at("uncertainty", name)))
    return written


def withdraw_figures(output: Path, prepared: Prepared) -> None:
    """Say that the figures of a visit are not of what will be there next."""
    _mark(output, prepared).unlink(missing_ok=True)


def visit_is_drawn(output: Path, prepared: Prepared) -> bool:
    """Whether all figures of a visit were drawn since they were last withdrawn."""
    return _mark(output, prepared).is_file()


def _mark(output: Path, prepared: Prepared) -> Path:
    name = file_name(prepared.label, LAST, prepared.reference, ".html")
    return _folder(output, prepared.visit.participant) / name


def _folder(output: Path, participant: str) -> Path:
    folder = output / f"sub-{participant}" / "figures"
    if not stays_inside(folder, output):
        message = f"{folder}: is a link out of the output; make it a folder there"
        raise VisitError(message)
    return folder


def file_name(label: str, desc: str, modality: str, extension: str = ".svg") -> str:
    """Name of a figure or fragment, by whose entities the page finds it.

    >>> file_name("sub-01_ses-A", "synth", "T2w"), file_name("sub-01", "scans", "T1wGd")
    ('sub-01_ses-A_desc-synth_T2w.svg', 'sub-01_ce-gadolinium_desc-scans_T1w.svg')
    """
    kind = MODALITIES[modality]
    agent = kind.entities.get("ceagent")
    middle = f"_ce-{agent}" if agent else ""
    return f"{label}{middle}_desc-{desc}_{kind.suffix}{extension}"


def _remove_others(folder: Path, label: str, kept: Collection[str]) -> None:
    ours = re.compile(
        rf"{re.escape(label)}(_ce-[A-Za-z0-9]+)?_desc-({'|'.join(_DESCS)})_[A-Za-z0-9]+\.\w+"
    )
    for path in folder.iterdir():
        if path.name not in kept and ours.fullmatch(path.name):
            path.unlink()
