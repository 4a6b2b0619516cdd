"""Exchange: `bids_synth export` and `bids_synth import`, beside the form of a BIDS App."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from bids_synth.cli.terminal.logs import shown
from bids_synth.core.settings import Level
from bids_synth.errors import BidsSynthError, UsageError
from bids_synth.system.os_errors import REFUSALS, explained

COMMANDS = ("export", "import")
LEVELS: Sequence[str] = get_args(Level)
KINDS = ("monai-bundle", "onnx")


def is_exchange(arguments: Sequence[str]) -> bool:
    """Whether the first word is a command; a dataset of that name is followed by a level.

    >>> is_exchange(["export", "any-contrast", "out", "--to", "onnx"])
    True
    >>> is_exchange(["export", "out", "participant"])
    False
    """
    return bool({*arguments[:1]} & {*COMMANDS}) and not {*LEVELS} & {*arguments}


def run_exchange(arguments: Sequence[str]) -> int:
    """Export or import a model, print what was written, and return the exit code."""
    try:
        parsed = exchange_parser(arguments[0]).parse_args(arguments[1:])
        print(shown(_exchanged(arguments[0], parsed)), flush=True)  # noqa: T201
    except SystemExit as end:
        return int(end.code or 0)
    except BidsSynthError as error:
        return _ended(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _ended("interrupted; nothing was written", 130)
    except BrokenPipeError:
        raise  # Whoever read what is printed has enough.
    except REFUSALS as error:
        return _ended(explained(error), 1)
    return 0


def _ended(text: str, code: int) -> int:
    print(shown(f"bids_synth: {text}"), file=sys.stderr, flush=True)  # noqa: T201
    return code


def _exchanged(command: str, parsed: argparse.Namespace) -> str:
    from bids_synth.learn.exchange.exported import export_model, import_model
    from bids_synth.learn.model.model import load_model
    from bids_synth.learn.networks.own import admit
    from bids_synth.recipe.embedded import embedded_models, fetch_hint

    if parsed.own_network is not None:
        admit(parsed.own_network)
    if command == "import":
        model = import_model(parsed.folder, parsed.model)
        return f"{parsed.model}: model {model.name}, whole, weights {model.sha256[:12]}"
    if hint := fetch_hint(parsed.model):
        message = f"{parsed.model}: {hint}"
        raise UsageError(message)
    model = load_model(embedded_models().get(parsed.model, Path(parsed.model)))
    export_model(model, parsed.folder, parsed.to)
    return f"{parsed.folder}: model {model.name} as {parsed.to}"


def exchange_parser(command: str) -> argparse.ArgumentParser:
    """The parser of one of COMMANDS."""
    if command == "import":
        parser = argparse.ArgumentParser(
            prog="bids_synth import",
            description="Take the model out of a folder that `bids_synth export` wrote",
            epilog="Only its model folder is read: no graph, no script, nothing pickled.",
        )
        parser.add_argument("folder", type=Path, help="what was exported")
        parser.add_argument("model", type=Path, help="model folder to write; must not be there")
        return _with_own(parser)
    parser = argparse.ArgumentParser(
        prog="bids_synth export",
        description="Write a model for other programs",
        epilog="The folder carries the model itself, which `bids_synth import` takes out again.",
    )
    parser.add_argument("model", help="a name of --list-models, or a model folder")
    parser.add_argument("folder", type=Path, help="folder to write; must not be there")
    parser.add_argument(
        "--to",
        required=True,
        choices=KINDS,
        help="monai-bundle: configs, TorchScript and weights, as MONAI lays them out; onnx: one "
        "graph of one window (needs bids_synth[export])",
    )
    return _with_own(parser)


def _with_own(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--own-network",
        metavar="PACKAGE.MODULE:CLASS",
        help="allow the model to run this network of an installed Python package",
    )
    return parser
