"""Options that change how a run goes: memory, monitor, debugger, methods, pages, plan."""

from __future__ import annotations

import json
import pdb
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest
from bids_fixtures import make_dataset
from prepare_phantom import make_scan, make_visit

import bids_synth
from bids_synth.cli.main import run_command
from bids_synth.core.settings import Settings
from bids_synth.core.visit import Prepared, Visit
from bids_synth.errors import Problem, VisitError
from bids_synth.pipeline.prepare_visits import prepare_all
from bids_synth.prepare.workflow import steps, workflow
from bids_synth.recipe.recipe import load_recipe
from bids_synth.report.pages.participant import write_participant_report
from bids_synth.spatial.volume import read_volume

RECIPE = load_recipe("impute", {"grid.spacing": "4.0", "preparation.registration_spacing": "4.0"})


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> list[Visit]:
    """Two participants with a T1w and a T2w each."""
    folder = tmp_path_factory.mktemp("raw")
    made = []
    for number, label in enumerate(("01", "02")):
        scans = {
            m: make_scan(m, spacing=4.0, seed=number + k) for k, m in enumerate(("T1w", "T2w"))
        }
        made.append(make_visit(folder / label, scans, label))
    return made


def prepare(visits: list[Visit], place: Path, **options: bool) -> dict[str, Prepared]:
    settings = Settings(
        dataset=place / "raw", output=place / "out", level="group", work=place / "work",
        nprocs=2, run_id="run", **options,
    )  # fmt: skip
    prepared, problems = prepare_all(visits, RECIPE, settings)
    assert problems == ()
    return prepared


@pytest.mark.slow
def test_low_memory_takes_one_visit_at_a_time_and_makes_the_same_images(
    visits: list[Visit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []
    original = workflow.SurvivingMultiProcPlugin

    class Watched(original):
        """Notes how many visits and processes the plugin was given."""

        def run(self, graph, config, updatehash=False):
            count = len({node.fullname.split(".")[1] for node in graph.nodes()})
            calls.append((count, self.processors))
            return super().run(graph, config, updatehash)

    monkeypatch.setattr(workflow, "SurvivingMultiProcPlugin", Watched)
    spared = prepare(visits, tmp_path / "spared", low_mem=True, resource_monitor=True)
    assert calls == [(1, 1), (1, 1)]
    usual = prepare(visits, tmp_path / "usual")
    assert calls[2:] == [(2, 2)]
    for label, prepared in usual.items():
        assert prepared.key == spared[label].key
        for modality, path in prepared.images.items():
            other = read_volume(spared[label].images[modality])
            assert np.array_equal(read_volume(path).array, other.array)
    assert not list(Path.cwd().glob(".proc-*"))
    rows = (tmp_path / "spared/out/logs/run/resources.tsv").read_text().splitlines()
    assert rows[0].split("\t")[:3] == ["visit", "step", "seconds"]
    table = [row.split("\t") for row in rows[1:]]
    assert [row[0] for row in table] == sorted(row[0] for row in table)
    steps_of = {row[1] for row in table if row[0] == "sub_02"}
    assert {"region", "mask", "register_T2w", "resample_T1w", "resample_T2w"} <= steps_of
    assert all(float(row[2]) >= 0 for row in table)
    assert not (tmp_path / "usual/out/logs/run/resources.tsv").exists()


def test_the_debugger_sees_the_frame_in_which_the_fault_was_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def look(frames: TracebackType | None) -> None:
        while frames is not None:
            seen.append(frames.tb_frame.f_code.co_name)
            frames = frames.tb_next

    def planted(*_: object, **__: object) -> None:
        message = "planted"
        raise VisitError(message)

    make_dataset(tmp_path / "bids", "sub-01/anat/sub-01_T1w.nii.gz")
    monkeypatch.setattr(pdb, "post_mortem", look)
    monkeypatch.setattr(steps, "admit_scans", planted)
    monkeypatch.chdir(tmp_path)
    line = ["bids", "out", "participant", "--preproc-only", "-w", "work", "--nprocs", "2"]
    assert run_command([*line, "--debug", "pdb"]) == 1
    assert seen[-1] == "planted"
    assert "planted" in capfd.readouterr().err
    seen.clear()
    assert run_command(line) == 1
    assert seen == []


def test_the_methods_text_names_recipe_and_versions_and_nothing_else_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_dataset(tmp_path / "bids", "sub-01/anat/sub-01_T1w.nii.gz")
    monkeypatch.chdir(tmp_path)
    line = ["bids", "out", "participant", "--boilerplate-only", "-w", "work"]
    more = ["--set", "fit.steps=1234", "--skull-strip", "template"]
    spaces = ["--output-spaces", "MNI152NLin2009aSym:res-2"]
    assert run_command([*line, *more, *spaces]) == 0
    path = tmp_path / "out/logs/CITATION.md"
    assert str(path) in capsys.readouterr().out
    told = path.read_text()
    for word in ("1234 steps", "recipe *impute*", bids_synth.__version__, "template", "res-2"):
        assert word in told
    assert not list((tmp_path / "out").glob("sub-*"))
    assert run_command([*line, *more, *spaces]) == 0
    assert path.read_text() == told, "two jobs must write the same text"


def figures(output: Path, *sessions: str) -> None:
    folder = output / "sub-01/figures"
    folder.mkdir(parents=True)
    for session in sessions:
        name = f"sub-01_ses-{session}_desc-summary_T1w.html"
        (folder / name).write_text(f"<p>words of session {session}</p>")


@pytest.mark.parametrize("limit", [2, 3])
def test_above_n_sessions_each_has_a_page(limit: int, tmp_path: Path) -> None:
    figures(tmp_path, "A", "B", "C")
    problem = Problem("sub-01_ses-B", "did not fit")
    page = write_participant_report(
        tmp_path, "01", problems=[problem], sessions_per_page=limit
    ).read_text()
    pages = sorted(path.name for path in tmp_path.glob("sub-01_ses-*.html"))
    assert "did not fit" in page
    if limit == 3:
        assert pages == []
        assert all(f"words of session {s}" in page for s in "ABC")
        return
    assert pages == [f"sub-01_ses-{s}.html" for s in "ABC"]
    assert "words of session" not in page
    for session, name in zip("ABC", pages, strict=True):
        assert f'href="{name}"' in page
        own = (tmp_path / name).read_text()
        assert [s for s in "ABC" if f"words of session {s}" in own] == [session]
    write_participant_report(tmp_path, "01", sessions_per_page=3)
    assert not list(tmp_path.glob("sub-01_ses-*.html")), "pages of an earlier run are removed"


def test_the_plan_for_machines_names_files_and_what_must_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [f"sub-{p}/anat/sub-{p}_{m}.nii.gz" for p in ("01", "02") for m in ("T1w", "T2w")]
    root = make_dataset(tmp_path / "bids", *paths)
    (root / paths[3]).unlink()
    (root / paths[3]).symlink_to("../../.git/annex/objects/x")
    monkeypatch.chdir(tmp_path)
    line = [
        "bids",
        "out",
        "participant",
        "--dry-run",
        "--json",
        "--modalities",
        "T1w",
        "T2w",
        "PDw",
    ]
    assert run_command(line) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["recipe"] == "any-contrast"
    one, two = plan["visits"]
    assert one == {
        "visit": "sub-01", "participant": "01", "session": None, "present": ["T1w", "T2w"],
        "lacking": ["PDw"], "doubtful": {}, "targets": ["PDw"], "evaluated": [], "computed": [],
        "action": "synthesise", "then": "synthesise", "reason": "PDw from T1w+T2w",
        "files": paths[:2], "absent": [],
    }  # fmt: skip
    assert (two["visit"], two["action"], two["then"]) == ("sub-02", "blocked", "synthesise")
    assert (two["files"], two["absent"]) == (paths[2:], [paths[3]])
    assert "datalad get" in two["reason"]
    assert not (tmp_path / "out").exists()
