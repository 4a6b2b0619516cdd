"""The examples for BABS and Nipoppy: their syntax, and their options against the parser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from bids_synth import __version__
from bids_synth.cli.parser import build_parser

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PARSER = build_parser()


def read_json(name: str) -> Any:
    return json.loads((EXAMPLES / "nipoppy" / name).read_text("utf-8"))


def test_every_json_file_is_json() -> None:
    names = {path.name for path in (EXAMPLES / "nipoppy").glob("*.json")}
    assert names == {"config.json", "invocation.json", "tracker.json"}
    assert all(isinstance(read_json(name), dict) for name in names)


def test_nipoppy_knows_this_version_and_the_files_of_the_pipeline() -> None:
    config = read_json("config.json")
    assert (config["NAME"], config["VERSION"]) == ("bids_synth", __version__)
    files = {v for step in config["STEPS"] for k, v in step.items() if k.endswith("_FILE")}
    assert files == {"descriptor.json", "invocation.json", "tracker.json"}


def test_the_invocation_of_nipoppy_is_an_invocation_of_the_descriptor() -> None:
    descriptor = json.loads((EXAMPLES.parent / "boutiques.json").read_text("utf-8"))
    inputs = {entry["id"]: entry for entry in descriptor["inputs"]}
    invocation = read_json("invocation.json")
    assert set(invocation) <= set(inputs)
    assert {k for k, entry in inputs.items() if not entry["optional"]} <= set(invocation)
    for key, value in invocation.items():
        assert isinstance(value, list) == bool(inputs[key].get("list"))


def test_the_options_for_babs_are_the_parsers() -> None:
    example = yaml.safe_load((EXAMPLES / "babs" / "bids_synth.yaml").read_text("utf-8"))
    words = ["bids", "out", "participant"]
    for flag, value in example["bids_app_args"].items():
        selects = flag == "$SUBJECT_SELECTION_FLAG"
        words += [value, "sub-01"] if selects else [flag, *str(value).split()]
    parsed = PARSER.parse_args(words)
    assert parsed.participant_label == ["sub-01"]
    assert parsed.mem
    assert example["zip_foldernames"] == {"bids_synth": re.sub(r"\.", "-", __version__)}
    assert {"input_datasets", "singularity_args", "cluster_resources"} <= set(example)
