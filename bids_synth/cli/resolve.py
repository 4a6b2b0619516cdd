"""Arguments to Settings: every check that needs no image, all faults told at once."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bids_synth import __version__
from bids_synth.cli.folders import link_problems, work_problems
from bids_synth.cli.spaces import output_spaces
from bids_synth.core.settings import Settings
from bids_synth.errors import UsageError, raise_all

_UNITS = {"K": 1e-6, "M": 1e-3, "G": 1.0, "T": 1e3}


def resolve(arguments: argparse.Namespace) -> Settings:
    """Check the arguments against one another and the disk; UsageError lists every fault."""
    problems: list[str] = []
    dataset, output, work = (
        Path(os.path.abspath(p))  # noqa: PTH100 (symlinked datasets keep their name)
        for p in (arguments.bids_dir, arguments.output_dir, arguments.work_dir)
    )
    problems += _folder_problems(dataset, output, work)
    problems += _option_problems(arguments)
    derivatives = _pairs(arguments.derivatives, "--derivatives", problems)
    overrides = _pairs(arguments.set, "--set", problems)
    memory = _memory(arguments.mem, problems)
    spaces = output_spaces(arguments.output_spaces, problems)
    raise_all(UsageError, problems, intro="cannot start:")
    cores = arguments.nprocs or len(os.sched_getaffinity(0))
    names = {field.name for field in fields(Settings)}
    resolved = {
        "dataset": dataset,
        "output": output,
        "level": arguments.analysis_level,
        "work": work,
        "participants": _labels(arguments.participant_label, "sub-"),
        "sessions": _labels(arguments.session_label, "ses-"),
        "filter_file": arguments.bids_filter_file,
        "derivatives": {name: Path(path) for name, path in derivatives.items()},
        "database": arguments.bids_database_dir,
        "wipe_database": arguments.bids_database_wipe,
        "overrides": overrides,
        "modalities": tuple(arguments.modalities),
        "spaces": spaces,
        "nprocs": cores,
        "omp_nthreads": min(arguments.omp_nthreads, cores) if arguments.omp_nthreads else None,
        "memory_gb": memory,
        "plugin_file": arguments.use_plugin,
        "seed": arguments.random_seed,
        "as_json": arguments.json,
        "sessions_per_page": arguments.aggregate_session_reports,
        "pdb": bool(arguments.debug),
        "tune": arguments.tune or 0,
        "run_id": f"{datetime.now(UTC):%Y%m%d-%H%M%S}_{uuid.uuid4().hex[:8]}",
        "version": __version__,
    }
    as_given = {name: value for name, value in vars(arguments).items() if name in names}
    return Settings(**as_given | resolved)


def clean_work(work: Path) -> None:
    """Empty the work directory."""
    for entry in work.iterdir() if work.is_dir() else ():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def parse_memory(text: str) -> float:
    """Gigabytes of a size with a unit; ValueError without one.

    >>> parse_memory("16G"), parse_memory("1500 MB"), parse_memory("1.5g")
    (16.0, 1.5, 1.5)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])I?B?\s*", text.upper())
    if not match or float(match[1]) == 0:
        message = (
            f"--mem {text}: expected a number with a unit, such as 16G or 500M "
            "(--mem-mb 16000 is in megabytes)"
        )
        raise ValueError(message)
    return float(match[1]) * _UNITS[match[2]]


def _folder_problems(dataset: Path, output: Path, work: Path) -> list[str]:
    problems = []
    if not dataset.is_dir():
        problems.append(f"bids_dir {dataset}: is not a folder")
    raw = dataset.resolve()
    place = output.resolve()
    if place == raw:
        problems.append(
            f"output_dir {output}: is the dataset; use {dataset}/derivatives/bids_synth"
        )
    elif place.is_relative_to(raw) and place.relative_to(raw).parts[0] != "derivatives":
        problems.append(
            f"output_dir {output}: lies in the raw dataset {dataset}; choose a folder outside it "
            f"or {dataset}/derivatives/bids_synth"
        )
    if work.resolve().is_relative_to(raw):
        problems.append(f"--work-dir {work}: lies inside the dataset; give a folder elsewhere")
    for name, folder in (("output_dir", output), ("--work-dir", work)):
        existing = next(p for p in (folder, *folder.parents) if p.exists() or p.is_symlink())
        if not existing.is_dir():
            problems.append(f"{name} {folder}: {existing} is no folder; give a folder")
        elif not os.access(existing, os.W_OK | os.X_OK):
            problems.append(f"{name} {folder}: {existing} cannot be written; give another folder")
    return [*problems, *work_problems(work, output), *link_problems(output)]


def _option_problems(arguments: argparse.Namespace) -> list[str]:
    problems = []
    for option in ("nprocs", "omp_nthreads", "folds", "aggregate_session_reports", "tune"):
        value = getattr(arguments, option)
        if value is not None and value < 1:
            problems.append(f"--{option.replace('_', '-')} {value}: must be at least 1")
    problems += _fold_problems(arguments)
    problems += _file_problems(arguments)
    if arguments.json and not arguments.dry_run:
        problems.append("--json: prints the plan of --dry-run; give both")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", arguments.device):
        problems.append(f"--device {arguments.device}: expected auto, cpu, cuda or cuda:N")
    if arguments.analysis_level == "group":
        flags = ("model", "evaluate", "synth_only", "reports_only", "index_only")
        misplaced = [f for f in flags if getattr(arguments, f)]
        problems += [f"--{f.replace('_', '-')}: is for participant, not group" for f in misplaced]
    else:
        problems += _of_group(arguments)
    if arguments.distributed:
        others = ("tune", "clean_workdir", "dry_run", "preproc_only")
        misplaced = [f" --{o.replace('_', '-')}" for o in others if getattr(arguments, o)]
        if arguments.analysis_level != "group" or misplaced:
            text = f"--distributed: is for the fit of group alone, without{''.join(misplaced)}"
            problems.append(text.removesuffix(", without"))
    if arguments.tune is not None and arguments.init_from is not None:
        problems.append("--tune: tries networks from their start; remove --init-from")
    return [*problems, *_minutes_problems(arguments)]


def _minutes_problems(arguments: argparse.Namespace) -> list[str]:
    if (minutes := arguments.fit_minutes) is None:
        return []
    problems = []
    if not 0 < minutes < float("inf"):
        problems.append(f"--fit-minutes {minutes:g}: must be above 0")
    if any(text.partition("=")[0].strip() == "fit.steps" for text in arguments.set):
        problems.append("--fit-minutes: chooses the steps; remove --set fit.steps")
    others = [o for o in ("tune", "distributed") if getattr(arguments, o)]
    text = "--fit-minutes: does not go with --{}; give --set fit.steps"
    return [*problems, *map(text.format, others)]


def _of_group(arguments: argparse.Namespace) -> list[str]:
    names = [
        n
        for n in ("tune", "fit_minutes", "fold", "split_file", "init_from")
        if getattr(arguments, n) is not None
    ]
    names += [
        *(["folds"] if arguments.folds != 1 else []),
        *([] if arguments.resume else ["no-resume"]),
    ]
    return [f"--{n.replace('_', '-')}: is for group, not participant" for n in names]


def _file_problems(arguments: argparse.Namespace) -> list[str]:
    problems = []
    for option in ("bids_filter_file", "use_plugin", "split_file", "recipe"):
        path = getattr(arguments, option)
        if path is None or (option == "recipe" and not Path(path).is_file()):
            continue  # Recipes have names too.
        text = f"--{option.replace('_', '-')} {path}"
        if not Path(path).is_file():
            problems.append(f"{text}: no such file")
        elif not _is_text(Path(path)):
            problems.append(f"{text}: is no text file (UTF-8); give the right one, or convert it")
    return problems


def _is_text(path: Path) -> bool:
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
    except OSError:
        return True  # Whoever reads it says better what is wrong.
    return True


def _fold_problems(arguments: argparse.Namespace) -> list[str]:
    fold, last = arguments.fold, arguments.folds - 1
    if fold is None or (fold >= 0 and arguments.split_file):
        return []  # How many folds a split file has is known when it is read.
    return [] if 0 <= fold <= last else [f"--fold {fold}: expected 0 to {last} (--folds)"]


def _pairs(texts: Sequence[str], option: str, problems: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    problems += [
        f"{option} {text}: expected NAME=VALUE"
        for text, (name, _, value) in zip(texts, pairs, strict=True)
        if not name or not value
    ]
    return {name: value for name, _, value in pairs}


def _labels(labels: Sequence[str], prefix: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label.removeprefix(prefix) for label in labels))


def _memory(text: str | None, problems: list[str]) -> float:
    if text is None:
        return round(0.9 * _available_bytes() / 1e9, 1)
    try:
        return parse_memory(text)
    except ValueError as error:
        problems.append(str(error))
        return 0.0


def _available_bytes() -> int:
    """Physical memory, or the limit of the container (cgroup v2, then v1) where lower."""
    total = int(psutil.virtual_memory().total)
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        path = Path(name)
        if path.is_file() and (text := path.read_text().strip()).isdigit():
            total = min(total, int(text))
    return total
