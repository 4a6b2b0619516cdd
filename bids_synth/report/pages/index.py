"""The page of a dataset: every synthetic image, what to look at first, and who decided what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import bids_synth
from bids_synth.core.catalogue import CATALOGUE
from bids_synth.core.synthetic import LEVELS
from bids_synth.core.trust.image_row import ImageRow
from bids_synth.report.figures.strips import HEIGHT, MIDDLE, WIDTH, strips
from bids_synth.report.pages.templates import embedded_json, page_with
from bids_synth.spatial.volume import write_text

PAGE = "index.html"
METRICS = ("psnr", "ssim", "mae")
"""Scores that the page has a column for."""


def write_index(
    output: Path,
    rows: Sequence[ImageRow],
    *,
    dataset: str,
    unread: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Path:
    """Write `output/index.html`, one file that needs no other but the pages that it leads to.

    `dataset` is the name by which a browser keeps decisions; `unread` are sidecars that could not
    be read, `without` folders of participants without a synthetic image. The same rows give the
    same page, byte for byte; when it was made, the browser says by the date of the file.
    """
    pages = {path.name for path in output.glob("sub-*.html")}
    shown = [metric for metric in METRICS if any(_says(row, metric) for row in rows)]

    def page_of(row: ImageRow) -> str:
        return report_of(row, pages)

    drawn = strips(rows, page_of)
    text = page_with(
        "index.html",
        sheets=("dataset.css", "index.css"),
        scripts=("folds.js", "index.js"),
        dataset=dataset,
        tiles=_tiles(rows),
        total=len(rows),
        levels=LEVELS,
        targets=sorted({row.target for row in rows}),
        sessions=any(row.session for row in rows),
        metrics=[(name, CATALOGUE[name].short) for name in shown],
        scored=any("coverage" in row.scores for row in rows),
        rows=embedded_json(_data(rows, dataset, page_of)),
        strips=[strip for strip in drawn if strip.marks],
        calm=[strip for strip in drawn if not strip.marks],
        size=(WIDTH, HEIGHT, MIDDLE),
        unread=unread,
        without=[(name, f"{name}.html" if f"{name}.html" in pages else "") for name in without],
        version=bids_synth.__version__,
    )
    return write_text(text, output / PAGE)


def _says(row: ImageRow, metric: str) -> bool:
    """Whether a score is there, in a unit that means something."""
    known = metric in row.scores
    return known and not (CATALOGUE[metric].has_unit and row.unit.startswith("arbitrary"))


def report_of(row: ImageRow, pages: Collection[str]) -> str:
    """Where the report of a visit is, among the pages of the output; empty where there is none.

    >>> row = ImageRow("01", "A", "T2w", (), "pass", (), (), None, None, "")
    >>> report_of(row, {"sub-01.html"}), report_of(row, {"sub-01.html", "sub-01_ses-A.html"})
    ('sub-01.html#ses-A', 'sub-01_ses-A.html')
    """
    whole, own = f"sub-{row.participant}.html", f"{row.visit}.html"
    if own in pages:
        return own
    return f"{whole}#ses-{row.session}" if whole in pages else ""


def _tiles(rows: Sequence[ImageRow]) -> list[dict[str, Any]]:
    levels = Counter(row.level for row in rows)
    people = len({row.participant for row in rows})
    visits = len({row.visit for row in rows})
    return [
        {"value": len(rows), "words": f"synthetic image{'s' * (len(rows) != 1)}", "level": ""},
        {"value": people, "words": f"participants, {visits} visits", "level": ""},
        *({"value": levels[level], "words": level, "level": level} for level in LEVELS),
    ]


def _data(rows: Sequence[ImageRow], dataset: str, page_of: Any) -> dict[str, Any]:
    """What the script of the page makes its table of; sentences are told once and numbered."""
    reasons: dict[str, int] = {}
    listed = [
        {
            "participant": row.participant,
            "session": row.session or "",
            "target": row.target,
            "sources": "+".join(row.sources),
            "verdict": row.level,
            "strangeness": row.strangeness,
            "half_width": row.half_width,
            "unit": row.unit,
            **{name: row.scores.get(name) for name in (*METRICS, "coverage")},
            "reasons": [reasons.setdefault(reason, len(reasons)) for reason in row.reasons],
            "model": row.model,
            "image": row.image,
            "made": row.made,
            "page": page_of(row),
        }
        for row in rows
    ]
    digits = {name: CATALOGUE[name].digits for name in METRICS}
    return {"dataset": dataset, "reasons": list(reasons), "digits": digits, "rows": listed}
