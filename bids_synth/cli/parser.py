"""The options, spelled as users of BIDS Apps know them; nothing heavy is imported here."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from bids_synth import __version__
from bids_synth.cli.answers import SHELLS, Answer, PrintCompletion, model_lines, recipe_lines
from bids_synth.cli.habits import MEGABYTES, Parser, Size
from bids_synth.core.settings import Level, SkullStrip

AGGREGATED = 4
"""Sessions above which every one has a page of its own, as in fMRIPrep."""
DEBUG = ("pdb", "all")
SKULL_STRIP: Sequence[str] = get_args(SkullStrip)
USAGE = "bids_synth bids_dir output_dir {participant,group} [options]"
EXAMPLES = """\
examples:
  what would be made, and from what (nothing is written):
    bids_synth bids out participant --dry-run
  make what two participants lack, with the model that comes with bids_synth:
    bids_synth bids out participant --participant-label 01 02
  how long a fit on one's own scans would take here, then one of two hours:
    bids_synth bids out group --dry-run
    bids_synth bids out group --fit-minutes 120
  how good the images are where the real ones exist:
    bids_synth bids out participant --evaluate
  a CT for every T1w, from one's own participants who have both:
    bids_synth bids out group --recipe ct

`group` fits a model; `participant` writes the missing images with it. A stopped run goes on
when the same command is given again.
"""


def build_parser() -> Parser:
    """The parser of `bids_synth bids_dir output_dir {participant,group}`."""
    parser = Parser(
        prog="bids_synth",
        usage=USAGE,
        description="Give a BIDS dataset the brain images it lacks, and say how far to trust them",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bids_dir", type=Path, help="raw BIDS dataset; never written to")
    parser.add_argument("output_dir", type=Path, help="derivative dataset that the run writes")
    parser.add_argument(
        "analysis_level",
        choices=get_args(Level),
        help="group: prepare every visit and fit a model; participant: prepare visits and "
        "synthesise what they lack (jobs for different participants may share output_dir)",
    )
    parser.add_argument("--version", action="version", version=f"bids_synth v{__version__}")
    _add_selection(parser)
    _add_task(parser)
    _add_looks(parser)
    _add_fit(parser)
    _add_resources(parser)
    _add_repetition(parser)
    _add_messages(parser)
    return parser


def _add_selection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Choose participants, sessions and scans")
    group.add_argument(
        *("--participant-label", "--participant_label"),
        nargs="+",
        default=[],
        metavar="LABEL",
        help="participants, with or without `sub-` (default: all)",
    )
    group.add_argument(
        *("--session-label", "--session_label", "--session-id"),
        nargs="+",
        default=[],
        metavar="LABEL",
        help="sessions, with or without `ses-` (default: all)",
    )
    group.add_argument(
        *("-m", "--modalities"),
        nargs="+",
        default=[],
        metavar="MODALITY",
        help="limit the recipe to these modalities, e.g. T1w T2w",
    )
    group.add_argument(
        "--bids-filter-file",
        type=Path,
        metavar="FILE",
        help="JSON of pybids filters per modality, as in fMRIPrep",
    )
    group.add_argument(
        *("-d", "--derivatives"),
        nargs="+",
        default=[],
        metavar="NAME=PATH",
        help="derivatives of other pipelines whose brain masks are used",
    )
    group.add_argument(
        "--bids-database-dir",
        type=Path,
        metavar="PATH",
        help="keep the index of a large dataset here, and use it again",
    )
    group.add_argument("--bids-database-wipe", action="store_true", help="index anew")
    group.add_argument(
        *("--skip-bids-validation", "--skip_bids_validation", "--skip_bids_validator"),
        action="store_true",
        help="accepted and told: no validator runs here, every file that is read is checked",
    )


def _add_task(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Choose what is made")
    group.add_argument(
        "--recipe",
        metavar="NAME|FILE.toml",
        help="task (default: impute); --list-recipes prints them",
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value of the recipe, e.g. fit.steps=500",
    )
    group.add_argument(
        "--model",
        metavar="NAME|PATH",
        help="model in output_dir/models, of --list-models, or a model folder (default: the "
        "recipe's own in output_dir, and where impute has none any-contrast)",
    )
    group.add_argument(
        "--own-network",
        metavar="PACKAGE.MODULE:CLASS",
        help="allow the recipe or model to run this network of an installed Python package "
        "(network.import of the recipe); read its code first",
    )
    group.add_argument(
        "--skull-strip",
        choices=SKULL_STRIP,
        default="auto",
        help="how the brain is found; skip: the scans come without skull (default: auto)",
    )
    group.add_argument(
        "--output-spaces",
        nargs="+",
        default=["native"],
        metavar="SPACE[:res-N]",
        help="where synthetic images are written: `native` (also `anat`, `T1w`: the reference's "
        "own grid, always written) and copies in a template by the visit's affine, e.g. "
        "MNI152NLin2009aSym:res-2, or a template in TEMPLATEFLOW_HOME (default: native)",
    )
    group.add_argument(
        "--evaluate",
        action="store_true",
        help="also synthesise targets that exist, and score them against the real scans",
    )
    only = group.add_mutually_exclusive_group()
    only.add_argument("--preproc-only", action="store_true", help="prepare, synthesise nothing")
    only.add_argument("--synth-only", action="store_true", help="use what is prepared already")
    only.add_argument("--reports-only", action="store_true", help="write the HTML pages anew")
    only.add_argument(
        "--index-only",
        action="store_true",
        help="write index.html and verdicts.tsv anew, of all images in output_dir, in seconds",
    )
    group.add_argument(
        "--aggregate-session-reports",
        type=int,
        default=AGGREGATED,
        metavar="N",
        help="above N sessions a participant gets one page a session (default: %(default)s)",
    )
    group.add_argument(
        "--report-embed",
        action="store_true",
        help="participant pages hold their figures and volumes: one file each, to mail",
    )


def _add_looks(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Look before a run, and exit")
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would be done with every visit, and of group what a fit would cost: "
        "time, memory and disk, from some steps on random images",
    )
    group.add_argument("--json", action="store_true", help="print the plan of --dry-run as JSON")
    group.add_argument(
        "--list-recipes", action=Answer, lines=recipe_lines, help="print the recipes"
    )
    group.add_argument(
        "--list-models", action=Answer, lines=model_lines, help="print what comes with it"
    )
    group.add_argument(
        *("--boilerplate-only", "--boilerplate_only"),
        action="store_true",
        help="write the methods text logs/CITATION.{md,html,tex,bib} and exit",
    )
    group.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=SHELLS,
        metavar="SHELL",
        help="print what bash, zsh or fish needs to complete these options",
    )


def _add_fit(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Fit a model (group)")
    group.add_argument(
        "--fit-minutes",
        type=float,
        metavar="N",
        help="fit in about N minutes on this machine, in place of the recipe's number of steps: "
        "a short trial tells how many there can be, and the learning rate still ends its decay",
    )
    group.add_argument("--init-from", type=Path, metavar="MODEL", help="start from its weights")
    group.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="continue a stopped fit from the work directory (default: --resume)",
    )
    group.add_argument("--folds", type=int, default=1, metavar="N", help="cross-validation folds")
    group.add_argument("--fold", type=int, metavar="K", help="fit only fold K, counted from 0")
    group.add_argument(
        "--split-file",
        type=Path,
        metavar="TSV",
        help="participant_id and part (training, validation, test)",
    )
    group.add_argument(
        "--tune",
        type=int,
        metavar="N",
        help="instead of the fit, try values from the recipe's [tune] on the validation "
        "participants until N were tried, and write the best as a recipe; another call goes on "
        "where a stopped one was, several jobs may share the work directory",
    )
    group.add_argument(
        "--distributed",
        action="store_true",
        help="this is one of several processes, started by torchrun or srun, that fit one model",
    )


def _add_resources(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Use this machine")
    group.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N; cuda never falls back"
    )
    group.add_argument(
        *("--nprocs", "--nthreads", "--n_cpus", "--n-cpus", "--n-procs", "--n_procs"),
        type=int,
        metavar="N",
        help="threads in total (default: the cores that this process may use)",
    )
    group.add_argument(
        *("--omp-nthreads", "--ants-nthreads"),
        type=int,
        metavar="N",
        help="threads of the process that fits or synthesises (default: --nprocs); a step of "
        "preparation has one, so that its image does not depend on it",
    )
    group.add_argument(
        *("--mem", *MEGABYTES),
        action=Size,
        metavar="SIZE",
        help="memory to plan with, with a unit: 16G, 500M; --mem-mb also takes a bare number of "
        "megabytes (default: 90 %% of what there is)",
    )
    group.add_argument(
        "--low-mem",
        action="store_true",
        help="prepare one step of one visit at a time, in a process that ends with the visit: "
        "least memory, slowest; same images",
    )
    group.add_argument(
        *("--use-plugin", "--nipype-plugin-file"), type=Path, metavar="FILE", help="nipype YAML"
    )
    group.add_argument("--sloppy", action="store_true", help="coarse and fast, for TESTING ONLY")


def _add_repetition(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Run again")
    group.add_argument(
        *("-w", "--work-dir"),
        type=Path,
        default=Path("work"),
        help="caches, from which a stopped run goes on (default: ./work)",
    )
    group.add_argument("--clean-workdir", action="store_true", help="empty the work directory")
    group.add_argument("--overwrite", action="store_true", help="make again what is up to date")
    group.add_argument(
        "--config-file",
        type=Path,
        metavar="FILE.toml",
        help="options of a former run (its logs/<run>/bids_synth.toml); those given here win",
    )
    group.add_argument(
        "--random-seed", type=int, default=1, metavar="N", help="default: %(default)s"
    )


def _add_messages(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Messages and faults")
    loud = group.add_mutually_exclusive_group()
    loud.add_argument(
        *("-v", "--verbose"),
        action="count",
        default=0,
        help="-v: also what the log file has: every step, epoch and check, and tracebacks; -vv: "
        "also what the libraries say",
    )
    loud.add_argument(
        *("-q", "--quiet"), action="store_true", help="only warnings, faults and the end"
    )
    group.add_argument(
        "--stop-on-first-crash", action="store_true", help="begin no step after one has failed"
    )
    group.add_argument(
        "--resource-monitor",
        action="store_true",
        help="time and peak memory of each step of preparation, in logs/<run>/resources.tsv",
    )
    group.add_argument(
        "--write-graph", action="store_true", help="draw the nipype workflow into logs/<run>"
    )
    group.add_argument(
        "--debug",
        nargs="+",
        choices=DEBUG,
        default=[],
        metavar="MODE",
        help="pdb: all in one process, the first fault opens the debugger where it happened; "
        "all: every mode",
    )
    group.add_argument(
        "--notrack", action="store_true", help="accepted and told: nothing is ever tracked"
    )
