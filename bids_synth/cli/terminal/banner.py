"""Banner: what a run is, at the start of its log and, in a line, of the terminal."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from bids_synth.core.settings import Settings

LIBRARIES = ("torch", "nipype", "antspyx", "pybids", "nibabel", "numpy")


def long_banner(settings: Settings, arguments: Sequence[str]) -> list[str]:
    """Everything that somebody else would ask first."""
    libraries = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    return [
        f"bids_synth {settings.version}, {settings.level}, run {settings.run_id}",
        f"command: {shlex.join(['bids_synth', *arguments])}",
        f"folder: {os.getcwd()}",  # noqa: PTH109
        f"dataset: {settings.dataset}; output: {settings.output}; work: {settings.work}",
        f"machine: {platform.platform()}, Python {platform.python_version()}, {libraries}",
        f"{_resources(settings, settings.device)}, {settings.memory_gb:g} GB to plan with",
    ]


def short_banner(settings: Settings) -> str:
    """One line of the same."""
    resources = _resources(settings, _device(settings))
    return f"bids_synth {settings.version}, {settings.level}: {resources}, run {settings.run_id}"


def _resources(settings: Settings, device: str) -> str:
    threads = f"{settings.nprocs} thread{'s' * (settings.nprocs > 1)}"
    return f"device {device}, {threads}, seed {settings.seed}"


def _device(settings: Settings) -> str:
    """The device by name, where networks will run and this process chooses it."""
    runs = not (settings.preproc_only or settings.reports_only or settings.boilerplate_only)
    if settings.device != "auto" or settings.distributed or not runs:
        return settings.device
    from bids_synth.learn.device import resolve_device

    return str(resolve_device(settings.device))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
