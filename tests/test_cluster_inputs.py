"""What a job on a cluster is given: part of a clone, links, foreign filters, a plugin file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from bids_fixtures import make_dataset

from bids_synth.bids.raw.query import query
from bids_synth.cli.main import run_command
from bids_synth.core.settings import Settings
from bids_synth.pipeline.discover import discover
from bids_synth.pipeline.prepare_visits import prepare_all
from bids_synth.prepare.workflow import workflow
from bids_synth.recipe.recipe import load_recipe

IMPUTE = load_recipe("impute")
PEOPLE = ("01", "02", "03")
PATHS = tuple(f"sub-{p}/anat/sub-{p}_{m}.nii.gz" for p in PEOPLE for m in ("T1w", "T2w"))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    raw = make_dataset(tmp_path / "raw", *PATHS)
    rows = ["participant_id\tage", *(f"sub-{p}\t40" for p in PEOPLE)]
    (raw / "participants.tsv").write_text("\n".join(rows) + "\n")
    return raw


def to_annex(path: Path, *, fetched: bool) -> None:
    """What git-annex leaves: a link into .git, with or without the content behind it."""
    store = path.parents[2] / ".git/annex/objects"
    store.mkdir(parents=True, exist_ok=True)
    content = store / f"SHA256E-{path.name}"
    shutil.move(path, content)
    path.symlink_to(Path("../../.git/annex/objects") / content.name)
    if not fetched:
        content.unlink()


def files_of(dataset: Path, participant: str) -> dict[str, dict[str, Path]]:
    discovery = query(dataset, IMPUTE, participants=[participant])
    assert discovery.problems == ()
    return {v.label: {m: s.path for m, s in v.scans.items()} for v in discovery.visits}


@pytest.mark.parametrize("label", ["02", "sub-02"])
@pytest.mark.parametrize("others", ["absent", "without content"])
def test_a_clone_with_the_content_of_one_participant_is_enough_for_it(
    dataset: Path, others: str, label: str
) -> None:
    """As BABS makes it: participants.tsv still names everybody, and the label has its prefix."""
    for person in ("01", "03"):
        if others == "absent":
            shutil.rmtree(dataset / f"sub-{person}")
            continue
        for path in (dataset / f"sub-{person}").glob("anat/*.nii.gz"):
            to_annex(path, fetched=False)
    assert set(files_of(dataset, label)) == {"sub-02"}


def test_links_keep_the_names_of_the_dataset_and_not_those_of_the_store(
    dataset: Path, tmp_path: Path
) -> None:
    for path in dataset.glob("sub-02/anat/*.nii.gz"):
        to_annex(path, fetched=True)
    linked = tmp_path / "linked"
    linked.symlink_to(dataset)
    anat = linked / "sub-02/anat"
    expected = {m: anat / f"sub-02_{m}.nii.gz" for m in ("T1w", "T2w")}
    assert files_of(linked, "02") == {"sub-02": expected}


def test_a_filter_for_another_app_is_told_and_does_not_stop_the_run(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filters = tmp_path / "filters.json"
    filters.write_text(json.dumps({"bold": {"task": "rest"}, "T1w": {"suffix": "T1w"}}))
    options = ["--dry-run", "--bids-filter-file", str(filters), "-w", str(tmp_path / "work")]
    assert run_command([str(dataset), str(tmp_path / "out"), "participant", *options]) == 0
    told = capsys.readouterr()
    assert "bold" in told.err
    assert "sub-02" in told.out


def test_the_plugin_of_the_file_runs_the_steps(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--use-plugin` reaches nipype with its arguments as they were written."""
    ran = []
    monkeypatch.setattr(workflow, "_run", lambda _, plugin, **__: ran.append(plugin))
    file = tmp_path / "plugin.yml"
    file.write_text("plugin: SLURM\nplugin_args:\n  sbatch_args: --mem=8G\n  max_jobs: 5\n")
    settings = Settings(
        dataset=dataset,
        output=tmp_path / "out",
        level="participant",
        work=tmp_path / "work",
        participants=("02",),
        plugin_file=file,
    )
    prepare_all(discover(settings, IMPUTE).visits, IMPUTE, settings)
    (plugin,) = ran
    assert plugin["plugin"] == "SLURM"
    plugin["plugin_args"].pop("status_callback")  # Ours, which hears of every step.
    assert plugin["plugin_args"] == {"sbatch_args": "--mem=8G", "max_jobs": 5}
