"""Whose the work directory is, and that nothing is written through links out of the output."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath

import pytest
from bids_fixtures import make_dataset, make_prepared, make_synthetic

from bids_synth.bids.derivatives.prepared import MANIFEST, find_prepared, write_prepared
from bids_synth.bids.derivatives.sidecars import refuse_shadow
from bids_synth.bids.derivatives.synthetic import write_synthetic
from bids_synth.cli.folders import link_problems, work_problems
from bids_synth.cli.main import run_command
from bids_synth.cli.terminal.logs import shown
from bids_synth.core.visit import Visit
from bids_synth.errors import VisitError
from bids_synth.pipeline.discover import dataset_name
from bids_synth.spatial.volume import stays_inside, write_text

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser gives files away")
STRANGER = 54321


@pytest.fixture
def place(tmp_path: Path) -> Path:
    make_dataset(tmp_path / "bids", *[f"sub-0{n}/anat/sub-0{n}_T1w.nii.gz" for n in (1, 2, 3)])
    (tmp_path / "out").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path


def run(place: Path) -> int:
    job = [str(place / "bids"), str(place / "out"), "participant", "--preproc-only", "--dry-run"]
    return run_command([*job, "-w", str(place / "work")])


@pytest.mark.parametrize("name", [".", "prepare", "cache"])
def test_a_work_directory_that_everybody_can_write_is_refused(place, name, capfd):
    folder = place / "work" / name
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    assert run(place) == 2
    assert "everybody can write" in capfd.readouterr().err
    folder.chmod(0o775)
    assert work_problems(place / "work", place / "out") == []


@ROOT_ONLY
@pytest.mark.parametrize("name", [".", "prepare", "cache"])
def test_a_work_directory_of_another_user_is_refused(place, name, capfd):
    folder = place / "work" / name
    folder.mkdir(exist_ok=True)
    os.chown(folder, STRANGER, -1)
    assert run(place) == 2
    assert f"belongs to another user (uid {STRANGER})" in capfd.readouterr().err


@ROOT_ONLY
def test_root_in_a_container_may_use_the_folders_of_who_started_it(place):
    for folder in (place / "work", place / "out"):
        os.chown(folder, STRANGER, -1)
    assert work_problems(place / "work", place / "out") == []
    assert work_problems(place / "work", place / "out" / "new") == []


def test_a_work_directory_that_is_not_there_yet_is_fine(place):
    assert work_problems(place / "nowhere", place / "out") == []


@pytest.mark.parametrize("name", ["models", "logs", "sub-01"])
def test_a_link_out_of_the_output_is_told_before_anything_starts(place, name, capfd):
    (place / "elsewhere").mkdir()
    (place / "out" / name).symlink_to(place / "elsewhere")
    assert run(place) == 2
    assert f"{name} is a link to" in capfd.readouterr().err
    assert list((place / "elsewhere").iterdir()) == []


def test_links_that_stay_inside_and_links_to_files_are_left_alone(place):
    out = place / "out"
    (out / "sub-01").mkdir()
    (out / "sub-02").symlink_to("sub-01")
    (out / "README.md").symlink_to(place / "bids" / "dataset_description.json")
    (out / "dangling").symlink_to("nowhere")
    assert link_problems(out) == []
    assert stays_inside(out / "sub-02" / "anat", out)
    assert not stays_inside(out / ".." / "x", out)


def test_an_output_that_is_itself_a_link_is_the_users_own_choice(place):
    (place / "alias").symlink_to(place / "out")
    (place / "out" / "sub-01").mkdir()
    assert link_problems(place / "alias") == []
    assert stays_inside(place / "alias" / "sub-01", place / "alias")


def test_images_are_not_written_through_a_link(place):
    prepared = make_prepared(place / "made", place / "bids", Visit("01", None, {}), {"T1w": {}})
    (place / "elsewhere").mkdir()
    (place / "out" / "sub-01").mkdir()
    (place / "out" / "sub-01" / "anat").symlink_to(place / "elsewhere")
    with pytest.raises(VisitError, match="is a link out of the output"):
        write_prepared(prepared, place / "out", dataset=place / "bids")
    with pytest.raises(VisitError, match="is a link out of the output"):
        write_synthetic(
            make_synthetic("T2w", ("T1w",)),
            prepared,
            place / "out",
            dataset=place / "bids",
            model={"Name": "m"},
        )
    assert list((place / "elsewhere").iterdir()) == []


def test_a_file_that_is_a_link_is_replaced_and_its_target_left_alone(place):
    (place / "secret").write_text("mine")
    (place / "out" / "a.json").symlink_to(place / "secret")
    write_text("new", place / "out" / "a.json")
    assert (place / "secret").read_text() == "mine"
    assert not (place / "out" / "a.json").is_symlink()


def test_a_derivative_cannot_climb_out_of_the_output(place):
    prepared = make_prepared(place / "made", place / "bids", Visit("01", None, {}), {"T1w": {}})
    path = PurePosixPath("../../sub-01_desc-x_T1w.nii.gz")
    with pytest.raises(VisitError, match="out of the output"):
        refuse_shadow(path, prepared.visit, place / "out", place / "bids")


@pytest.mark.parametrize("path", ["/etc/hostname", "../../etc/hostname", "sub-01/../../x"])
def test_a_manifest_that_points_outside_is_not_believed(place, path):
    made = make_prepared(place / "made", place / "bids", Visit("01", None, {}), {"T1w": {}})
    written = write_prepared(made, place / "out", dataset=place / "bids")
    assert find_prepared(made.visit, place / "out", key=made.key) is not None
    sidecar = written.mask.with_name(written.mask.name.replace(".nii.gz", ".json"))
    content = json.loads(sidecar.read_text())
    inside = written.template.read_bytes()
    target = (place / "out" / path).resolve()
    if target.is_relative_to(place):
        target.write_bytes(inside)
    content[MANIFEST]["Files"]["template"] = path
    sidecar.write_text(json.dumps(content))
    assert find_prepared(made.visit, place / "out", key=made.key) is None


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("plain", "plain"),
        ("two\nlines \x1b[2J", "two lines ?[2J"),
        ("\ud800", "?"),
        (["a"], "['a']"),
        ("x" * 600, "x" * 500),
    ],
)
def test_the_name_of_a_dataset_is_one_line_of_text(place, name, told):
    (place / "bids" / "dataset_description.json").write_text(json.dumps({"Name": name}))
    assert dataset_name(place / "bids") == told


def test_what_is_printed_cannot_steer_the_terminal(place, capfd):
    assert shown("é 1\t2\n\x1b[31m\x07\udcff") == "é 1\t2\n\\x1b[31m\\x07\\udcff"
    job = [str(place / "bids"), str(place / "out"), "participant", "-w", str(place / "work")]
    assert run_command([*job, "--recipe", "\x1b]0;owned\x07.toml"]) == 2
    assert "\x1b" not in capfd.readouterr().err
