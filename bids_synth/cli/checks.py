"""Checks of options: against one another, against files, and of names that lead nowhere."""

from __future__ import annotations

import argparse
import re
from pathlib import Path


def option_problems(arguments: argparse.Namespace) -> list[str]:
    """One line for every option that is out of range, misplaced or leads to no file."""
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
