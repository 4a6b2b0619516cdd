"""Names: recipe, model, modalities and labels that lead nowhere, all told at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from bids_synth.core.settings import Settings
from bids_synth.errors import UsageError


def named_problems(settings: Settings) -> list[str]:
    """One text for every name of the command line that is not there.

    What a run would find one after the other, before it reads any image.
    """
    with _untold():
        return [*_recipe(settings), *_labels(settings), *_filters(settings)]


def _recipe(settings: Settings) -> list[str]:
    from bids_synth.pipeline.choose_model import model_folder, recipe_of
    from bids_synth.pipeline.choose_recipe import chosen_recipe

    try:
        if settings.level == "group":
            chosen_recipe(settings)
        else:
            recipe_of(settings, model_folder(settings))
    except UsageError as error:
        return [str(error)]
    return []


def _labels(settings: Settings) -> list[str]:
    if not (settings.participants or settings.sessions) or not settings.dataset.is_dir():
        return []
    from bids_synth.bids.raw.labels import unknown_participants, unknown_sessions

    problems = unknown_participants(settings.dataset, settings.participants)
    known = () if problems else settings.participants
    return [*problems, *unknown_sessions(settings.dataset, known, settings.sessions)]


def _filters(settings: Settings) -> list[str]:
    if settings.filter_file is None or not settings.filter_file.is_file():
        return []
    from bids_synth.bids.raw.filters import read_filters

    try:
        read_filters(settings.filter_file)
    except UsageError as error:
        return [str(error)]
    return []


@contextmanager
def _untold() -> Iterator[None]:
    """What these checks say in passing, the run says again."""
    log = logging.getLogger("bids_synth")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
