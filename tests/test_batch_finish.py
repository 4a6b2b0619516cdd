"""An output is fit to publish, or it is said why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FINISH = Path(__file__).resolve().parent.parent / "scripts" / "batch" / "finish.py"
ADDRESS = "https://example.org/ds1"
CLONE = "file:///scratch/clone"


def finish(*words: object) -> tuple[int, str]:
    command = [sys.executable, str(FINISH), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output as a run leaves it."""
    output = tmp_path / "out"
    for folder in ("logs/run", "sub-01/anat"):
        (output / folder).mkdir(parents=True)
    description = {
        "Name": "x",
        "DatasetLinks": {"raw": CLONE, "other": "https://example.org/other"},
        "SourceDatasets": [{"URL": CLONE, "DOI": "doi:10.1/x"}, {"URL": "https://example.org/o"}],
    }
    (output / "dataset_description.json").write_text(json.dumps(description))
    (output / "logs" / "run" / "bids_synth.toml").write_text(f"work = '{tmp_path}'")
    (output / "logs" / "CITATION.md").write_text("methods")
    (output / "sub-01/anat/a.json").write_text("{}")
    (tmp_path / "log").mkdir()
    return output


def test_the_source_is_named_by_address_and_logs_stay_here(output: Path, tmp_path: Path) -> None:
    named = ADDRESS.replace("https://", "https://me:secret@")
    assert finish(output, named, "c0ffee", tmp_path / "log", tmp_path) == (0, "")
    description = json.loads((output / "dataset_description.json").read_text())
    assert description["DatasetLinks"] == {"raw": ADDRESS, "other": "https://example.org/other"}
    assert description["SourceDatasets"] == [
        {"URL": ADDRESS, "DOI": "doi:10.1/x", "Version": "c0ffee"},
        {"URL": "https://example.org/o"},
    ]
    assert [path.name for path in (output / "logs").iterdir()] == ["CITATION.md"]
    assert (tmp_path / "log" / "run" / "bids_synth.toml").is_file()


def test_a_link_out_and_a_path_of_this_machine_are_told(output: Path, tmp_path: Path) -> None:
    (output / "sub-01/anat/out.json").symlink_to(tmp_path / "elsewhere.json")
    (output / "sub-01/anat/in.json").symlink_to("a.json")
    (output / "sub-01/anat/b.json").write_text(json.dumps({"Model": "/models/mine/x"}))
    (output / "sub-01.html").write_text(f"<p>{output}</p>")
    code, said = finish(output, ADDRESS, "c0ffee", tmp_path / "log", "/models/mine")
    assert code == 1
    lines = said.splitlines()
    assert len(lines) == 3
    assert any("out.json: is a link to" in line for line in lines)
    assert any("b.json: names /models/mine, a place" in line for line in lines)
    assert any(f"sub-01.html: names {output}, a place" in line for line in lines)


@pytest.mark.parametrize("address", ["/data/ds1", "file:///data/ds1", "git@example.org:ds1", ""])
def test_an_address_that_others_cannot_follow_is_refused(address: str) -> None:
    code, said = finish("--check", address)
    assert code == 2
    assert "is no https address" in said
    assert finish("--check", ADDRESS) == (0, "")


def test_an_array_task_does_its_line_of_the_list(tmp_path: Path) -> None:
    """The datasets are refused for want of an address, before anything is cloned."""
    listed = tmp_path / "list.tsv"
    listed.write_text("/data/one\n/data/two\n\n/data/three")
    command = [str(FINISH.with_name("datasets.sh")), str(listed), str(tmp_path / "out"), "model"]

    def batch(**variables: str) -> list[tuple[str, str]]:
        done = subprocess.run(
            command, check=False, capture_output=True, env=os.environ | variables
        )
        assert done.returncode == 2
        table = (tmp_path / "out" / "batch.tsv").read_text().splitlines()
        return [tuple(line.split("\t")[1:3]) for line in table]

    assert batch(SLURM_ARRAY_TASK_ID="4") == [("/data/three", "2")]
    assert batch()[1:] == [("/data/one", "2"), ("/data/two", "2"), ("/data/three", "2")]
