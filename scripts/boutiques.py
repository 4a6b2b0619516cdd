"""The command line as a Boutiques descriptor, for platforms that run tools by description.

`python scripts/boutiques.py FILE.json` writes it (Boutiques 0.5, Glatard et al. 2018,
doi:10.1093/gigascience/giy016).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bids_synth import __version__
from bids_synth.cli.parser import build_parser

MADE_BY_THE_RUN = ("output_dir", "work_dir", "bids_database_dir")
"""Paths that need not exist; Boutiques calls a path that must exist a File."""
_NOT_INPUTS = ("help", "version", "list_recipes", "list_models", "print_completion")


def descriptor(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """The whole description of a parser: its inputs, their order, and what excludes what."""
    inputs = [_input(action, parser) for action in _actions(parser)]
    keys = " ".join(entry["value-key"] for entry in inputs)
    return {
        "name": parser.prog,
        "description": parser.description,
        "tool-version": __version__,
        "schema-version": "0.5",
        "command-line": f"{parser.prog} {keys}",
        "container-image": {"type": "docker", "image": f"{parser.prog}:{__version__}"},
        "inputs": inputs,
        "groups": _groups(parser),
        "output-files": [
            {
                "id": "output",
                "name": "Derivative dataset",
                "path-template": "[OUTPUT_DIR]",
                "description": "BIDS-Derivatives: synthetic and prepared images, reports, models",
            }
        ],
        "tags": {"domain": ["neuroinformatics", "bids-app", "mri"]},
    }


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    # argparse tells its actions to nobody but the help page.
    actions = parser._actions  # noqa: SLF001
    return [action for action in actions if action.dest not in _NOT_INPUTS]


def _input(action: argparse.Action, parser: argparse.ArgumentParser) -> dict[str, Any]:
    """One argument or option, as Boutiques names its parts."""
    flag = _flag(action)
    identity = flag.strip("-").replace("-", "_") or action.dest
    entry: dict[str, Any] = {
        "id": identity,
        "name": identity.replace("_", " "),
        "type": _type(action),
        "value-key": f"[{identity.upper()}]",
        "optional": bool(flag),
    }
    if action.help:
        words = action.help % {**vars(action), "prog": parser.prog}
        entry["description"] = f"do not {words}" if flag.startswith("--no-") else words
    if flag:
        entry["command-line-flag"] = flag
    if action.choices is not None:
        entry["value-choices"] = list(action.choices)
    if action.type is int:
        entry["integer"] = True
    if action.nargs == "+" or _is_repeated(action):
        entry["list"] = True
    if _is_repeated(action):
        # Such an option is given once for each value.
        entry["list-separator"] = f" {flag} "
    return entry


def _is_repeated(action: argparse.Action) -> bool:
    return isinstance(action.default, list) and action.nargs is None


def _flag(action: argparse.Action) -> str:
    """The longest spelling with hyphens; of a switch that is on already, the one for off."""
    if isinstance(action, argparse.BooleanOptionalAction):
        return next(s for s in action.option_strings if s.startswith("--no-") == action.default)
    # The first long one is the one that the documentation uses.
    return next((s for s in action.option_strings if s.startswith("--")), "")


def _type(action: argparse.Action) -> str:
    if action.nargs == 0:
        return "Flag"
    if action.type in (int, float):
        return "Number"
    return "File" if action.type is Path and action.dest not in MADE_BY_THE_RUN else "String"


def _groups(parser: argparse.ArgumentParser) -> list[dict[str, Any]]:
    """Options of which at most one can be given."""
    exclusive = parser._mutually_exclusive_groups  # noqa: SLF001
    return [
        {
            "id": f"one_of_{group._group_actions[0].dest}",  # noqa: SLF001
            "name": "At most one of these",
            "members": [_flag(a).strip("-").replace("-", "_") for a in group._group_actions],  # noqa: SLF001
            "mutually-exclusive": True,
        }
        for group in exclusive
    ]


def text() -> str:
    """The descriptor of this version as JSON."""
    return json.dumps(descriptor(build_parser()), indent=2, allow_nan=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
