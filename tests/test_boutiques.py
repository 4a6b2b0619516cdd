"""The Boutiques descriptor is the parser's, and a command made from it parses to its values."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bids_synth import __version__
from bids_synth.cli.parser import build_parser
from scripts.boutiques import text

DESCRIPTOR = Path(__file__).resolve().parent.parent / "boutiques.json"
TOLD: dict[str, Any] = json.loads(text())
PARSER = build_parser()
INPUTS: list[dict[str, Any]] = TOLD["inputs"]
WORDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9=._/-]{0,12}", fullmatch=True)


def one_value(entry: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "value-choices" in entry:
        return st.sampled_from(entry["value-choices"])
    return st.integers(0, 99) if entry["type"] == "Number" else WORDS


def values(entry: dict[str, Any]) -> st.SearchStrategy[Any]:
    if entry["type"] == "Flag":
        return st.just(True)
    one = one_value(entry)
    return st.lists(one, min_size=1, max_size=3) if entry.get("list") else one


@st.composite
def invocations(draw: st.DrawFn) -> dict[str, Any]:
    """Values for the inputs that must be given and for some of the others."""
    exclusive = [member for group in TOLD["groups"] for member in group["members"]]
    optional = [e["id"] for e in INPUTS if e["optional"] and e["id"] not in exclusive]
    chosen = draw(st.sets(st.sampled_from(optional))) | draw(
        st.sets(st.sampled_from(exclusive), max_size=1)
    )
    return {e["id"]: draw(values(e)) for e in INPUTS if not e["optional"] or e["id"] in chosen}


def command_line(invocation: dict[str, Any]) -> list[str]:
    """The words that the Boutiques specification makes of an invocation."""
    line = TOLD["command-line"]
    for entry in INPUTS:
        parts = [entry["command-line-flag"]] if "command-line-flag" in entry else []
        value = invocation.get(entry["id"])
        if value is not None and entry["type"] != "Flag":
            listed = value if isinstance(value, list) else [value]
            parts.append(entry.get("list-separator", " ").join(str(v) for v in listed))
        line = line.replace(entry["value-key"], "" if value is None else " ".join(parts))
    return shlex.split(line)


def test_the_file_is_what_the_parser_says() -> None:
    made_anew = "python scripts/boutiques.py boutiques.json"
    assert DESCRIPTOR.read_text(encoding="utf-8") == text(), made_anew


def test_every_option_and_version_is_in_it() -> None:
    page = PARSER.format_help()
    long = set(re.findall(r"^ +(?:-\w,? )?(--[a-z-]+)", page, flags=re.MULTILINE))
    flags = {entry.get("command-line-flag", "") for entry in INPUTS}
    only_print = {"--help", "--version", "--list-recipes", "--list-models", "--print-completion"}
    assert long - only_print - {"--resume"} <= flags
    assert "--no-resume" in flags
    assert TOLD["tool-version"] == __version__
    assert len({entry["id"] for entry in INPUTS}) == len(INPUTS)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(invocations())
def test_a_command_made_from_it_parses_to_its_values(invocation: dict[str, Any]) -> None:
    program, *words = command_line(invocation)
    assert program == "bids_synth"
    parsed = vars(PARSER.parse_args(words))
    silent = vars(PARSER.parse_args(["bids", "out", "group"]))
    by_spelling = {s: action for action in PARSER._actions for s in action.option_strings}
    for entry in INPUTS:
        flag = entry.get("command-line-flag")
        dest = by_spelling[flag].dest if flag else entry["id"]
        if entry["id"] not in invocation:
            assert parsed[dest] == silent[dest], entry["id"]
        elif entry["type"] == "Flag":
            assert parsed[dest] != silent[dest], entry["id"]
        elif entry.get("list"):
            assert parsed[dest] == invocation[entry["id"]]
        else:
            text, value = str(invocation[entry["id"]]), parsed[dest]
            # A path loses its last slash, a name keeps it.
            text = str(float(text)) if isinstance(value, float) else text
            assert str(value) == (str(Path(text)) if isinstance(value, Path) else text)


def test_its_own_tool_accepts_it() -> None:
    boutiques = pytest.importorskip("boutiques", reason="Boutiques is not installed")
    boutiques.validate(str(DESCRIPTOR))
