"""Index: the page and the table of every synthetic image that lies in the output."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from bids_synth.bids.derivatives.verdicts import (
    Images,
    images_of,
    more_participants_than,
    write_verdicts,
)
from bids_synth.core.settings import Settings
from bids_synth.core.summary import RunSummary
from bids_synth.core.trust.image_row import counted
from bids_synth.core.visit import Visit
from bids_synth.report.pages.index import PAGE, write_index
from bids_synth.spatial.volume import read_json_object
from bids_synth.system.locks import exclusive
from bids_synth.system.os_errors import REFUSALS, explained

LOG = logging.getLogger(__name__)
FEW = 200
"""Participants in the output up to which every job makes the page anew, in 0.1 s."""
SHARE = 10
"""Of more, only a job that had at least one in so many of them: its work grows as theirs."""


def with_index(summary: RunSummary, visits: Iterable[Visit], settings: Settings) -> RunSummary:
    """The summary with the verdicts of these visits counted, and the page of the dataset.

    In a large output the page is left to `--index-only`: a job of one participant must not grow
    with the dataset.
    """
    people = sorted({visit.participant for visit in visits})
    own = {visit.label for visit in visits}
    rows = [row for row in images_of(settings.output, people).rows if row.visit in own]
    summary = replace(summary, done=(*summary.done, f"In all {counted(rows)}"))
    if more_participants_than(settings.output, max(FEW, SHARE * len(people))):
        command = f"bids_synth {settings.dataset} {settings.output} participant --index-only"
        line = f"{PAGE} is not made by each job of so many; when all have ended: {command}"
        return replace(summary, done=(*summary.done, line))
    page = written_index(settings.output)
    return replace(summary, reports=(*summary.reports, *([page] if page else [])))


def only_index(settings: Settings) -> RunSummary:
    """Make the page and the table anew, and nothing else."""
    images = _build(settings.output)
    done = (f"{settings.output}: {counted(images.rows)}",)
    return RunSummary(done=done, reports=(settings.output / PAGE,))


def written_index(output: Path) -> Path | None:
    """The page, made anew; None, with a warning, where the disk refuses: images are worth more."""
    try:
        _build(output)
    except REFUSALS as error:
        LOG.warning("%s is not made: %s", output / PAGE, explained(error))
        return None
    return output / PAGE


def _build(output: Path) -> Images:
    """Read and write under one lock, so that a job that began earlier never has the last word."""
    with exclusive(["index"], output / "logs", does="lists images"):
        images = images_of(output)
        for path in images.unread:
            LOG.warning("%s: is no sidecar that can be read; the image is not listed", path)
        write_verdicts(images.rows, output)
        name = (read_json_object(output / "dataset_description.json") or {}).get("Name")
        write_index(
            output,
            images.rows,
            dataset=str(name or output.resolve().name),
            unread=images.unread,
            without=images.without,
        )
    return images
