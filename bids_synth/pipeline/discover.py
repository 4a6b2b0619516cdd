"""Discover: the visits that were asked for."""

from __future__ import annotations

import logging
from pathlib import Path

from bids_synth.bids.raw.filters import read_filters
from bids_synth.bids.raw.query import Discovery, query
from bids_synth.core.settings import Settings
from bids_synth.errors import UsageError
from bids_synth.pipeline.admission import admitted
from bids_synth.prepare.brain.external import check_skull_strip
from bids_synth.recipe.recipe import Recipe
from bids_synth.spatial.volume import read_json_object

LOG = logging.getLogger(__name__)


def discover(settings: Settings, recipe: Recipe) -> Discovery:
    """The visits that were asked for; UsageError where there is none.

    Visits with a scan whose header is refused are among the problems. UsageError also where
    the tool of `--skull-strip` is not installed: before hours of work.
    """
    check_skull_strip(settings.skull_strip)
    discovery = query(
        settings.dataset,
        recipe,
        participants=settings.participants,
        sessions=settings.sessions,
        filters=read_filters(settings.filter_file) if settings.filter_file else None,
        derivatives=settings.derivatives,
        database=settings.database,
        wipe_database=settings.wipe_database,
    )
    discovery = admitted(discovery, planning=settings.dry_run)
    for note in discovery.notes:
        LOG.warning("%s", note)
    if not discovery.visits and not discovery.problems:
        message = (
            f"{settings.dataset}: no visit has any of {', '.join(recipe.modalities)}; "
            "check bids_dir, --participant-label, --session-label and --bids-filter-file"
        )
        raise UsageError(message)
    return discovery


def dataset_name(dataset: Path) -> str:
    """Name of a dataset by its description, else by its folder; one line of printable text."""
    name = (read_json_object(dataset / "dataset_description.json") or {}).get("Name")
    words = " ".join(str(name or dataset.name).split())
    return "".join(letter if letter.isprintable() else "?" for letter in words)[:500]
