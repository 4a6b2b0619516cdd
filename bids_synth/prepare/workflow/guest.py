"""Guest: nipype's settings are one for a whole process; here they are given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nipype import config
from nipype import logging as nipype_logging

SETTINGS = {
    "execution": (
        *("crashfile_format", "hash_method", "stop_on_first_crash", "check_version"),
        *("poll_sleep_duration", "remove_unnecessary_outputs", "use_relative_paths"),
    ),
    "logging": ("log_to_file",),
}
LOGGERS = ("nipype.workflow", "nipype.interface", "nipype.utils")


@contextmanager
def settings_given_back() -> Iterator[None]:
    """What preparation sets is, afterwards, as whoever called had it.

    A workflow of theirs would otherwise hash its inputs in another way from here on, and run its
    nodes again.
    """
    every = [(section, name) for section, names in SETTINGS.items() for name in names]
    before = {place: config.get(*place) for place in every}
    loggers = [nipype_logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        yield
    finally:
        for place, value in before.items():
            if value is not None:
                config.set(*place, value)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
