"""Run file: the options of a run as TOML beside its logs, and back for a later run."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from bids_synth.cli.habits import Parser
from bids_synth.core.settings import Settings
from bids_synth.errors import UsageError, raise_all
from bids_synth.spatial.volume import write_text

NAME = "bids_synth.toml"
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "execution": (
        *("participant_label", "session_label", "modalities", "bids_filter_file", "derivatives"),
        *("bids_database_dir", "skip_bids_validation", "work_dir", "notrack", "sloppy"),
        *("stop_on_first_crash", "aggregate_session_reports", "output_spaces", "report_embed"),
    ),
    "workflow": (
        *("recipe", "set", "model", "skull_strip", "evaluate", "folds", "fold", "split_file"),
        *("resume", "init_from", "fit_minutes"),
    ),
    "nipype": (
        *("nprocs", "omp_nthreads", "mem", "low_mem", "use_plugin", "resource_monitor", "device"),
    ),
    "seeds": ("random_seed",),
}
"""Section -> options that a later run may take over."""
NEVER = (
    *("bids_dir", "output_dir", "analysis_level", "config_file", "dry_run", "json", "verbose"),
    *("boilerplate_only", "preproc_only", "synth_only", "reports_only", "index_only"),
    *("overwrite", "debug"),
    *("bids_database_wipe", "clean_workdir", "write_graph", "list_recipes", "list_models", "tune"),
    *("distributed", "quiet", "print_completion", "own_network"),
)
"""Options of one run alone: written below `run` where given, never taken over."""
OF_LEVEL: Mapping[str, tuple[str, ...]] = {
    "group": (
        "set",
        "sloppy",
        "folds",
        "fold",
        "split_file",
        "resume",
        "init_from",
        "fit_minutes",
    ),
    "participant": ("model", "evaluate"),
}
"""Options that are taken over only by a run of the same level."""
WRITTEN_ONLY = ("environment", "run")


def write_run_file(parsed: argparse.Namespace, settings: Settings) -> Path:
    """Write `logs/<run>/bids_synth.toml`: the options, and the run and machine they were for."""
    options = {key: _plain(key, value) for key, value in vars(parsed).items()}
    content: dict[str, Any] = {
        "environment": {
            "version": settings.version,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cores": settings.nprocs,
            "memory_gb": settings.memory_gb,
            "executable": sys.executable,
        },
        "run": {"run_id": settings.run_id, **_section(options, NEVER)},
    }
    content |= {section: _section(options, keys) for section, keys in SECTIONS.items()}
    return write_text(tomli_w.dumps(content), settings.run_logs / NAME)


def with_run_file(
    parser: Parser, arguments: Sequence[str], parsed: argparse.Namespace
) -> argparse.Namespace:
    """The arguments parsed anew over those of `--config-file`; the command line wins.

    Raises UsageError that names the file for whatever is wrong with it.
    """
    path: Path = parsed.config_file
    words = _words(path, parsed.analysis_level)
    places = [str(parsed.bids_dir), str(parsed.output_dir), parsed.analysis_level]
    parser.exit_on_error = False
    try:
        known = parser.parse_args([*places, *words])
    except argparse.ArgumentError as error:
        message = f"--config-file {path}: {error}"
        raise UsageError(message) from error
    finally:
        parser.exit_on_error = True
    raise_all(UsageError, parser.faults, intro=f"--config-file {path}:")
    own: argparse.Namespace = parser.parse_args(arguments, namespace=known)
    return own


def _words(path: Path, level: str) -> list[str]:
    """The options of a run file as they would be given on a command line."""
    data = _read(path)
    strangers = [name for name in data if name not in (*SECTIONS, *WRITTEN_ONLY)]
    problems = [f"[{name}]: unknown section; allowed: {', '.join(SECTIONS)}" for name in strangers]
    run = data.get("run")
    same = not isinstance(run, dict) or run.get("analysis_level", level) == level
    words: list[str] = []
    for section, keys in SECTIONS.items():
        values = data.get(section, {})
        if not isinstance(values, dict):
            problems.append(f"{section}: expected a section [{section}]")
            continue
        for key, value in values.items():
            if key not in keys:
                problems.append(f"{section}.{key}: unknown key; allowed: {', '.join(keys)}")
            elif same or not any(key in names for names in OF_LEVEL.values()):
                words += _option(f"{section}.{key}", key, value, problems)
    raise_all(UsageError, problems, intro=f"--config-file {path}:")
    return words


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"--config-file {path}: cannot be read ({error.strerror})"
    except (ValueError, RecursionError) as error:
        message = f"--config-file {path}: is not valid TOML: {error}"
    raise UsageError(message)


def _option(where: str, key: str, value: Any, problems: list[str]) -> list[str]:
    option = f"--{key.replace('_', '-')}"
    if isinstance(value, bool):
        if key == "resume":
            return [option if value else "--no-resume"]
        return [option] if value else []
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(v, str | int | float) and not isinstance(v, bool) for v in values):
        problems.append(f"{where}: expected text, a number, true, false or a list of texts")
        return []
    if odd := [v for v in values if str(v).startswith("-") and isinstance(v, str)]:
        problems.append(f"{where}: {odd[0]!r} looks like an option; expected a value")
        return []
    if not isinstance(value, list):
        return [f"{option}={value}"]
    if key == "set":
        return [f"{option}={v}" for v in values]
    return [option, *map(str, values)] if values else []


def _section(options: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: options[key] for key in keys if options.get(key) not in (None, [])}


def _plain(key: str, value: Any) -> Any:
    """A value as TOML knows it, paths absolute: a later run may start elsewhere."""
    if isinstance(value, Path) or (key in {"recipe", "model"} and value and Path(value).exists()):
        return os.path.abspath(value)  # noqa: PTH100 (links keep their name)
    if key == "derivatives":
        pairs = (text.partition("=") for text in value)
        return [f"{name}={os.path.abspath(path)}" for name, _, path in pairs]  # noqa: PTH100
    return value
