"""Answers: what is printed at once, without a dataset: recipes, models, completion."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bids_synth.errors import UsageError

SHELLS = ("bash", "zsh", "fish")


class Answer(argparse.Action):
    """Prints the lines that a function gives and exits, like --version."""

    def __init__(
        self,
        option_strings: list[str],
        dest: str,
        help: str,  # noqa: A002
        lines: Callable[[], list[str]],
    ) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)
        self.lines = lines

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print and exit."""
        print("\n".join(self.lines()))  # noqa: T201
        parser.exit()


def recipe_lines() -> list[str]:
    """Five lines a recipe."""
    from bids_synth.recipe.recipe import load_recipe, recipe_names

    lines = []
    for name in recipe_names():
        recipe = load_recipe(name)
        lines += [
            f"{name}: {recipe.task}",
            f"  {recipe.dimension}, {recipe.objective.name}, {recipe.network.name}",
            f"  sources: {', '.join(recipe.sources)}",
            f"  targets: {', '.join(recipe.targets)}",
            f"  follows: {recipe.source}",
        ]
    return lines


def model_lines() -> list[str]:
    """Four lines a model that comes with the package."""
    from bids_synth.recipe.embedded import embedded_models
    from bids_synth.recipe.recipe import load_recipe

    lines = []
    for name, folder in embedded_models().items():
        recipe = load_recipe(folder / "recipe.toml")
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        lines += [
            f"{name}: {recipe.task}",
            f"  fitted on: {card['dataset']}",
            f"  licence: {card['licence']}",
            f"  {card['intended_use']}",
        ]
    return lines


class PrintCompletion(argparse.Action):
    """Prints what a shell needs to complete the options, made from the parser."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002
        values: Any,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        """Print and exit."""
        if values not in SHELLS:
            return  # The parser has told already.
        try:
            print(completion(parser, str(values)))  # noqa: T201
        except UsageError as error:
            parser.error(str(error))
        parser.exit()


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The completion script of a shell; UsageError where the library for it is not there.

    The parser is changed on the way and of no use for parsing afterwards.
    """
    try:
        import shtab
    except ImportError as error:
        message = "--print-completion: needs shtab, which is not installed: pip install shtab"
        raise UsageError(message) from error
    from bids_synth.cli.completers import WORDS, completers

    own = completers()
    # argparse tells its actions to nobody but the help page.
    for action in parser._actions:  # noqa: SLF001
        # Of spellings that mean the same, one is offered.
        short = [s for s in action.option_strings if not s.startswith("--")]
        long = [s for s in action.option_strings if s.startswith("--")]
        other = [s for s in long if s.startswith("--no-")]
        action.option_strings = list(dict.fromkeys([*short, *long[:1], *other]))
        complete: Any = own.get(action.dest)
        if action.dest in WORDS:
            action.choices = WORDS[action.dest]
        elif complete is None and action.type is Path:
            folder = action.dest.endswith("_dir") or action.dest == "init_from"
            complete = shtab.DIRECTORY if folder else shtab.FILE
        if complete is not None:
            action.complete = complete  # type: ignore[attr-defined]
    script: str = shtab.complete(parser, shell=shell)
    return script
