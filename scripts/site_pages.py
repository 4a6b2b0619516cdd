"""Pages of the site that are read from the code: the command line, recipe keys, a model's card.

`python scripts/site_pages.py NAME` prints one; MkDocs asks `site_hooks.py` for all of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from bids_synth.cli.parser import build_parser
from bids_synth.learn.model.card import Card
from bids_synth.recipe.recipe import Recipe

Schema = Mapping[str, Any]
_BOUNDS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "above {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "below {}"),
    ("multipleOf", "a multiple of {}"),
)


def command_line() -> str:
    """Every option of the parser by its group, with its other spellings, values and default."""
    parser = build_parser()
    blocks = [
        "# Command line",
        "Written from the parser; `bids_synth --help` prints the same.",
        f"```text\n{_usage(parser)}\n```",
    ]
    # argparse tells its groups to nobody but the help page.
    for group in parser._action_groups:  # noqa: SLF001
        actions = [a for a in group._group_actions if a.help != argparse.SUPPRESS]  # noqa: SLF001
        if actions:
            title = str(group.title)
            blocks.append(f"## {title[0].upper()}{title[1:]}")
            blocks += [_option(action, parser) for action in actions]
    return "\n\n".join(blocks) + "\n"


def _usage(parser: argparse.ArgumentParser) -> str:
    names = [a.dest for a in parser._get_positional_actions()]  # noqa: SLF001
    return " ".join([parser.prog, *names, "[options]"])


def _option(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    formatter = parser._get_formatter()  # noqa: SLF001
    first = _longest_first(action)[0] if action.option_strings else action.dest
    valued = action.option_strings and action.nargs != 0
    value = formatter._format_args(action, action.dest.upper()) if valued else ""  # noqa: SLF001
    head = f"### `{first}{' ' + value if value else ''}` {{ #{_anchor(first)} }}"
    words = [formatter._expand_help(action) + "." if action.help else ""]  # noqa: SLF001
    if action.choices:
        words.append("One of " + ", ".join(f"`{choice}`" for choice in action.choices) + ".")
    if others := _longest_first(action)[1:]:
        words.append("Also " + ", ".join(f"`{name}`" for name in others) + ".")
    return f"{head}\n\n{' '.join(filter(None, words))}".rstrip()


def _longest_first(action: argparse.Action) -> list[str]:
    """Long spellings before short ones, else as the parser has them."""
    return sorted(action.option_strings, key=lambda name: not name.startswith("--"))


def _anchor(name: str) -> str:
    return name.strip("-").replace("_", "-").lower()


def recipe_keys() -> str:
    """Every key of a recipe by section: type, bounds, default and meaning."""
    intro = (
        "Written from the schema that checks a recipe; `python -m bids_synth.recipe` prints it as "
        "JSON Schema, for editors. What the sections are for: [recipes](recipes.md)."
    )
    return "\n\n".join(["# Recipe keys", intro, *_sections(Recipe)]) + "\n"


def model_card() -> str:
    """Every key of `model.json`."""
    intro = "Written from the schema that checks `model.json` whenever a model is loaded."
    return "\n\n".join(["# Model card", intro, *_sections(Card)]) + "\n"


def _sections(model: type[BaseModel]) -> Iterator[str]:
    """A table of the model's own keys, then one of each of its sections."""
    schema = model.model_json_schema()
    parts = schema.get("$defs", {})
    yield f"## The file {{ #{model.__name__.lower()} }}"
    yield _table(schema, parts)
    for name, part in sorted(parts.items(), key=lambda item: _title(*item)):
        if "properties" in part:
            yield f"## {_title(name, part)} {{ #{name.lower()} }}"
            yield str(part.get("description", "")).strip()
            yield _table(part, parts)


def _title(name: str, part: Schema) -> str:
    """The section of a recipe that a part is, with its name where it is one of several."""
    chosen = part.get("properties", {}).get("name", {}).get("const")
    base = name.removesuffix("Part").removesuffix("Entry")
    if chosen:
        kind = "objective" if "gan" in str(chosen) or chosen == "regression" else "network"
        return f"{kind}: {chosen}"
    return f"{base[0].lower()}{base[1:]}"


def _table(schema: Schema, parts: Schema) -> str:
    required = set(schema.get("required", []))
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, about in schema.get("properties", {}).items():
        default = "required" if key in required else _default(about)
        words = " ".join(str(about.get("description", "")).split())
        cells = (f"`{key}`", _kind(about, parts), default, words)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _default(about: Schema) -> str:
    value = about.get("default")
    if isinstance(value, dict) or "default" not in about:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else _plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return "[" + ", ".join(map(_plain, value)) + "]" if isinstance(value, list) else str(value)


def _kind(about: Schema, parts: Schema) -> str:
    """What a value may be, in words."""
    if "$ref" in about:
        name = about["$ref"].rpartition("/")[2]
        part = parts[name]
        if "properties" in part:
            return f"[{_title(name, part)}](#{name.lower()})"
        return _kind(part, parts)
    for several in ("oneOf", "anyOf"):
        if several in about:
            return " or ".join(dict.fromkeys(_kind(one, parts) for one in about[several]))
    if "const" in about or "enum" in about:
        values = about.get("enum") or [about["const"]]
        return ", ".join(f"`{_plain(value)}`" for value in values)
    return _simple(about, parts)


def _simple(about: Schema, parts: Schema) -> str:
    kind = str(about.get("type", "any value"))
    if kind == "array":
        if "prefixItems" in about:
            inner = ", ".join(_kind(one, parts) for one in about["prefixItems"])
            return f"list: {inner}"
        return f"list of {_kind(about.get('items', {}), parts)}"
    if kind == "object" and isinstance(about.get("additionalProperties"), dict):
        return f"table of {_kind(about['additionalProperties'], parts)}"
    bounds = [words.format(about[key]) for key, words in _BOUNDS if key in about]
    names = {"integer": "whole number", "boolean": "`true`, `false`", "string": "text"}
    return ", ".join([names.get(kind, kind), *bounds])


PAGES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {"command-line.md": command_line, "recipe-keys.md": recipe_keys, "model-card.md": model_card}
)
"""Page of the site -> what writes it."""

if __name__ == "__main__":
    sys.stdout.write(PAGES[sys.argv[1]]())
