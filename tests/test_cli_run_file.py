"""Run file: what a run was asked for, written, read back and overruled by the command line."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import pytest
from bids_fixtures import make_dataset

from bids_synth.cli.main import run_command
from bids_synth.cli.parser import build_parser
from bids_synth.cli.resolve import resolve
from bids_synth.cli.run_file import NAME, NEVER, SECTIONS, with_run_file, write_run_file
from bids_synth.core.settings import Settings

OPTIONS = (
    *("--participant-label", "01", "sub-02", "--nprocs", "3", "--mem", "5G", "--no-resume"),
    *("--set", "fit.steps=7", "--set", "fit.members=1", "-d", "fmriprep=other", "--low-mem"),
    *("--random-seed", "9", "--skull-strip", "template", "-w", "w", "--modalities", "T1w", "T2w"),
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    people = ("01", "02", "03")
    make_dataset(tmp_path / "bids", *(f"sub-{p}/anat/sub-{p}_T1w.nii.gz" for p in people))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parsed_of(*arguments: str) -> argparse.Namespace:
    parser = build_parser()
    parsed = parser.parse_args(arguments)
    return with_run_file(parser, arguments, parsed) if parsed.config_file else parsed


def settings_of(*arguments: str) -> Settings:
    return resolve(parsed_of(*arguments))


def written(*arguments: str) -> Path:
    parsed = parsed_of(*arguments)
    return write_run_file(parsed, resolve(parsed))


def test_a_run_file_gives_the_same_settings_from_anywhere(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written("bids", "out", "group", *OPTIONS)
    asked = settings_of("bids", "out", "group", *OPTIONS)
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    again = settings_of("../bids", "../out", "group", "--config-file", str(path))
    kept = {k: v for k, v in vars(asked).items() if k != "run_id"}
    told = {k: v for k, v in vars(again).items() if k != "run_id"}
    absolute = {"derivatives": {"fmriprep": place / "other"}}
    assert told == kept | absolute
    assert again.run_id != asked.run_id


def test_the_command_line_wins_and_one_key_of_the_recipe_may_differ(place: Path) -> None:
    path = written("bids", "out", "group", *OPTIONS)
    more = ("--nprocs", "1", "--participant-label", "03", "--resume", "--set", "fit.steps=8")
    again = settings_of("bids", "out", "group", "--config-file", str(path), *more)
    assert (again.nprocs, again.participants, again.resume) == (1, ("03",), True)
    assert again.overrides == {"fit.steps": "8", "fit.members": "1"}
    assert again.seed == 9


def test_what_belongs_to_one_run_or_level_is_not_taken_over(place: Path) -> None:
    once = ("--overwrite", "--preproc-only", "--write-graph", "--clean-workdir", "--debug", "pdb")
    path = written("bids", "out", "group", *OPTIONS, *once, "--folds", "3")
    again = settings_of("bids", "new", "participant", "--config-file", str(path))
    taken = [again.overwrite, again.preproc_only, again.write_graph, again.pdb]
    assert not any(taken)
    assert again.output == place / "new"
    assert again.level == "participant"
    assert again.overrides == {}
    assert again.folds == 1
    assert again.resume
    assert again.memory_gb == 5.0


def test_environment_and_run_are_written_and_never_read(place: Path) -> None:
    path = written("bids", "out", "group", "--mem", "5G", "--nprocs", "3")
    data = tomllib.loads(path.read_text())
    assert data["environment"]["cores"] == 3
    assert path == place / "out" / "logs" / data["run"]["run_id"] / NAME
    text = path.read_text().replace(str(place / "bids"), "/gone")
    path.write_text(text.replace("cores = 3", 'cores = "odd"'))
    again = settings_of("bids", "out", "group", "--config-file", str(path))
    assert (again.nprocs, again.dataset) == (3, place / "bids")


def test_every_option_is_either_taken_over_or_never(place: Path) -> None:
    known = [key for keys in SECTIONS.values() for key in keys]
    assert len(set(known)) == len(known)
    assert {*known, *NEVER} == vars(parsed_of("bids", "out", "group")).keys()


def test_every_run_leaves_its_own_file_and_a_dry_run_none(place: Path) -> None:
    assert run_command(["bids", "out", "participant", "--dry-run", "-w", "w"]) == 0
    assert not (place / "out").exists()
    for _ in range(2):
        assert run_command(["bids", "out", "group", "--boilerplate-only", "-w", "w"]) == 0
    assert len(list(place.glob(f"out/logs/*/{NAME}"))) == 2
