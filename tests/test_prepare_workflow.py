"""The workflow: whole visits, cached, reproducible, and faults that stay with their visit."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from prepare_phantom import GAIN, GREYS, dice, make_scan, make_visit, motion, rms_error, truth_mask

from bids_synth.core.visit import Prepared, Scan, Visit
from bids_synth.errors import UsageError, VisitError
from bids_synth.pipeline import prepare_visits as prepare_visits_module
from bids_synth.prepare import checks as admit
from bids_synth.prepare.brain.region import core
from bids_synth.prepare.native import to_native
from bids_synth.prepare.workflow import steps, workflow
from bids_synth.prepare.workflow.key import preparation_key
from bids_synth.prepare.workflow.workflow import (
    TO_FIND,
    TO_REGISTER,
    TO_RESAMPLE,
    init_prepare_wf,
    prepare_visits,
)
from bids_synth.recipe.recipe import load_recipe
from bids_synth.recipe.sections.preparation import PreparationPart
from bids_synth.spatial.itk import read_itk
from bids_synth.spatial.volume import Volume, read_grid, read_mask, read_volume, write_volume

SPACING = 4.0
MOVED = motion((4.0, -3.0, 2.0), (3.0, -2.0, 4.0))
RECIPE = load_recipe(
    "impute",
    {
        "grid.spacing": "4.0",
        "preparation.registration_spacing": "4.0",
        "preparation.bias_correction": "false",
    },
)


def scans() -> dict[str, Volume]:
    return {
        "T1w": make_scan("T1w", spacing=SPACING, seed=1),
        "T2w": make_scan("T2w", spacing=SPACING, moved=MOVED, seed=2),
    }


def prepare(visits, work: Path, **changes):
    arguments = {
        "work": work, "seed": 1, "skull_strip": "auto", "nprocs": 1, "memory_gb": 4.0, **changes,
    }  # fmt: skip
    recipe = arguments.pop("recipe", RECIPE)
    return prepare_visits(visits, recipe, **arguments)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Visit, Prepared, Path]:
    folder = tmp_path_factory.mktemp("visit")
    visit = make_visit(folder, scans())
    prepared, problems = prepare([visit], folder / "work")
    assert problems == ()
    return visit, prepared["sub-01"], folder


def bytes_of(prepared: Prepared) -> dict[str, bytes]:
    files = {**prepared.images, **{f"{m}.xfm": p for m, p in prepared.transforms.items()},
             "mask": prepared.mask, "template": prepared.template}  # fmt: skip
    return {name: content(path) for name, path in files.items()}


def content(path: Path) -> bytes:
    return read_volume(path).array.tobytes() if ".nii" in path.name else path.read_bytes()


def test_everything_that_prepared_promises_is_there(done):
    visit, prepared, _ = done
    assert prepared.reference == "T1w"
    assert prepared.native.matches(read_grid(visit.scans["T1w"].path))
    assert prepared.grid.orientation == "RAS"
    assert set(prepared.images) == set(prepared.scales) == {"T1w", "T2w"}
    for path in (*prepared.images.values(), prepared.mask):
        assert read_grid(path).matches(prepared.grid, tolerance=1e-4)
    assert read_grid(prepared.native_mask).matches(prepared.native, tolerance=1e-4)
    assert prepared.stripped
    assert prepared.key == preparation_key(visit, RECIPE, seed=1, skull_strip="auto")
    assert 1.05 < prepared.quality["registration_T2w"] <= 2
    assert prepared.quality["template_correlation"] > 0.8
    assert 1200 < prepared.quality["mask_volume"] < 2200
    assert dice(read_mask(prepared.native_mask).array, truth_mask(SPACING).array) > 0.97


def test_the_transforms_are_the_true_ones(done):
    _, prepared, _ = done
    mask = truth_mask(SPACING)
    assert rms_error(read_itk(prepared.transforms["T2w"]), MOVED, mask) < 1.0
    assert rms_error(read_itk(prepared.template), np.eye(4), mask) < 2.0


def test_images_are_registered_unmasked_and_in_their_own_unit(done):
    _, prepared, _ = done
    truth = to_native(read_volume(prepared.images["T2w"]), prepared).array
    still = make_scan("T2w", spacing=SPACING, seed=2).array
    # Outside the mask that was found there is nothing to compare, and the phantom's moved scan
    # is made with a rim that is half air: places are compared within, brightness everywhere.
    inside = (truth_mask(SPACING).array > 0) & (read_mask(prepared.native_mask).array > 0)
    deep = core(truth_mask(SPACING)) & inside
    assert np.corrcoef(truth[deep], still[deep])[0, 1] > 0.8
    assert truth[inside].mean() == pytest.approx(still[inside].mean(), rel=0.05)
    for modality, greys in (("T1w", GREYS["T1w"]), ("T2w", GREYS["T2w"])):
        # Without N4 the phantom's shading moves what is white here and there.
        white = prepared.scales[modality].apply(np.array([0.0, greys[0] * GAIN]))
        assert white == pytest.approx([0, 1], abs=0.15), modality


def test_the_reference_comes_back_voxel_by_voxel(done):
    visit, prepared, _ = done
    back = to_native(read_volume(prepared.images["T1w"]), prepared, background=np.nan).array
    kept = np.isfinite(back)
    assert kept[read_mask(prepared.native_mask).array > 0].all()
    np.testing.assert_array_equal(back[kept], read_volume(visit.scans["T1w"].path).array[kept])


def test_a_second_run_makes_nothing_again_though_files_moved(done, monkeypatch):
    visit, prepared, folder = done
    before = {p: p.stat().st_mtime_ns for p in (*prepared.images.values(), prepared.mask)}
    moved = {}
    for modality, scan in visit.scans.items():
        path = folder / "elsewhere" / scan.path.name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(scan.path, path)
        os.utime(path, (1, 1))
        moved[modality] = Scan(modality, path)
    same = dataclasses.replace(visit, scans=moved)

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    for name in ("find_region", "register_scan", "resample_scan", "place_mask", "collect"):
        monkeypatch.setattr(steps, name, never)
    again, problems = prepare([same], folder / "work")
    assert problems == ()
    assert again["sub-01"].images == prepared.images
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_nipype_sees_no_visit_that_is_unchanged(done, monkeypatch):
    visit, prepared, folder = done
    monkeypatch.setattr(workflow, "init_prepare_wf", None)
    again, problems = prepare([visit], folder / "work")
    assert problems == ()
    assert bytes_of(again["sub-01"]) == bytes_of(prepared)


def test_many_visits_go_through_workflows_of_bounded_size(monkeypatch):
    visits = [Visit(f"{n:03}", None, {}) for n in range(2 * prepare_visits_module.AT_ONCE + 1)]
    sizes = []

    def seen(group, *_):
        sizes.append(len(group))
        return {}, ()

    monkeypatch.setattr(prepare_visits_module, "earlier", lambda *_: None)
    monkeypatch.setattr(prepare_visits_module, "_prepare", seen)
    settings = SimpleNamespace(
        synth_only=False, low_mem=False, stop_on_first_crash=False, nprocs=2
    )
    prepare_visits_module.prepare_all(visits, RECIPE, settings)
    assert sum(sizes) == len(visits)
    assert max(sizes) == prepare_visits_module.AT_ONCE


def test_a_changed_scan_is_prepared_anew(done, tmp_path):
    _, prepared, _ = done
    new = scans()
    new["T2w"] = make_scan("T2w", spacing=SPACING, moved=MOVED, seed=3)
    shutil.copytree(prepared.mask.parents[4], tmp_path / "work")
    other, _ = prepare([make_visit(tmp_path, new)], tmp_path / "work")
    assert other["sub-01"].key != prepared.key
    assert content(other["sub-01"].images["T2w"]) != content(prepared.images["T2w"])
    assert content(other["sub-01"].images["T1w"]) == content(prepared.images["T1w"])


def test_a_moved_work_directory_still_serves(done, tmp_path):
    visit, _, folder = done
    shutil.copytree(folder / "work", tmp_path / "moved")
    again, problems = prepare([visit], tmp_path / "moved")
    assert problems == ()
    for path in (*again["sub-01"].images.values(), again["sub-01"].mask):
        assert path.is_relative_to(tmp_path), "it points to the old place"


def test_two_processes_make_the_same_bytes(done, tmp_path):
    visit, prepared, _ = done
    other, problems = prepare([visit], tmp_path / "work", nprocs=2)
    assert problems == ()
    assert bytes_of(other["sub-01"]) == bytes_of(prepared)


def test_a_faulty_visit_is_named_and_the_others_go_on(done, tmp_path):
    visit, _, _ = done
    flat = make_visit(tmp_path, {"T1w": scans()["T1w"]}, "02")
    still = scans()["T2w"]
    empty = write_volume(
        still.with_array(np.full(still.grid.shape, 5, np.float32)), tmp_path / "e.nii"
    )
    flat = dataclasses.replace(flat, scans={**flat.scans, "T2w": Scan("T2w", empty)})
    slab = resample_slab(tmp_path)
    gone = Visit("04", None, {"T1w": Scan("T1w", tmp_path / "gone.nii.gz")})
    for nprocs in (1, 2):
        prepared, problems = prepare(
            [flat, visit, slab, gone], tmp_path / f"work{nprocs}", nprocs=nprocs
        )
        assert set(prepared) == {"sub-01"}
        told = {p.visit: p.message for p in problems}
        assert set(told) == {"sub-02", "sub-03", "sub-04"}
        assert "e.nii" in told["sub-02"]
        assert "slice" in told["sub-03"]
        assert "gone.nii.gz" in told["sub-04"]
        assert all("\n" not in text and "Traceback" not in text for text in told.values())


def resample_slab(folder: Path) -> Visit:
    whole = scans()["T1w"]
    one = Volume(
        whole.array[:, :, 30:31], whole.grid.crop((0, 0, 30), (*whole.grid.shape[:2], 31))
    )
    return make_visit(folder, {"T1w": one}, "03")


@pytest.mark.parametrize("fault", ["4d", "nan", "text", "huge"])
def test_unusable_scans_are_refused_with_their_name(tmp_path, fault, monkeypatch):
    import nibabel as nib

    path = tmp_path / "sub-01_T1w.nii.gz"
    array = np.ones((8, 8, 8, 3) if fault == "4d" else (8, 8, 8), np.float32)
    array[0, 0, 0] = np.nan if fault == "nan" else 2
    nib.Nifti1Image(array, np.diag([10, 10, 10, 1])).to_filename(path)
    if fault == "text":
        path.write_text("not an image")
    if fault == "huge":
        monkeypatch.setattr(admit, "LARGEST", 100)
    with pytest.raises(VisitError, match=r"sub-01_T1w\.nii\.gz"):
        steps.read_scan(path, "T1w")


def test_a_visit_without_reference_is_a_problem(tmp_path):
    visit = Visit("01", None, {"ct": Scan("ct", tmp_path / "ct.nii.gz")})
    prepared, problems = prepare([visit], tmp_path)
    assert prepared == {}
    assert problems[0].visit == "sub-01"
    assert "reference" in problems[0].message


def test_the_graph_ends_in_a_real_node(done):
    visit, _, _ = done
    workflow = init_prepare_wf(visit, RECIPE, key="k", seed=1, skull_strip="auto")
    assert "prepared" in workflow.list_node_names()
    assert type(workflow.get_node("prepared").interface).__name__ == "CollectPrepared"
    for name in workflow.list_node_names():
        assert workflow.get_node(name).n_procs == 1
        assert workflow.get_node(name).mem_gb < 4


def test_unusable_plugin_files_are_wrong_usage(done, tmp_path):
    visit, _, _ = done
    for text in ("[1, 2]", "plugin_args: {}", "a: [", None):
        path = tmp_path / "plugin.yml"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        with pytest.raises(UsageError, match=r"plugin\.yml"):
            prepare([visit], tmp_path / "work", plugin_file=path)


KILLED = """
import os, signal, sys
from pathlib import Path
from bids_synth.prepare.workflow import steps
from bids_synth.prepare.workflow.workflow import prepare_visits
from bids_synth.recipe.recipe import load_recipe
from bids_synth.core.visit import Scan, Visit

def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    steps.find_region = killed
    visits = [Visit("01", None, {"T1w": Scan("T1w", Path(sys.argv[1]))})]
    prepared, problems = prepare_visits(
        visits, load_recipe("impute"), work=Path(sys.argv[2]), seed=1, skull_strip="auto",
        nprocs=2, memory_gb=4.0,
    )
    print(prepared, *problems)
"""


def test_a_killed_step_does_not_hang(done, tmp_path):
    visit, _, _ = done
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(visit.scans["T1w"].path), str(tmp_path / "work")]
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail("the run hangs after a step was killed")
    assert "sub-01: a step was killed (signal 9), most likely for lack of memory" in output


def test_every_key_of_the_preparation_reaches_a_step():
    """The order of references is in the visit's own reference already."""
    given = TO_FIND | TO_REGISTER | TO_RESAMPLE
    assert given | {"reference"} == set(PreparationPart.model_fields)


def test_importing_the_workflow_asks_no_server(tmp_path):
    code = (
        "import socket\n"
        "def never(*a, **k): raise SystemExit('network')\n"
        "socket.socket.connect = socket.getaddrinfo = never\n"
        "import bids_synth.prepare.workflow.workflow as w\n"
        "from nipype.interfaces.utility import IdentityInterface\n"
        "IdentityInterface(fields=['a'])\n"
        "w._quiet(stop=False)\n"
        "IdentityInterface(fields=['a'])\n"
    )
    root = Path(__file__).resolve().parent.parent
    environment = {k: v for k, v in os.environ.items() if "NO_ET" not in k}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(root)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:]


# The key.


def test_the_key_is_of_content_not_of_place(done, tmp_path):
    visit, prepared, _ = done
    copies = {}
    for modality, scan in reversed(visit.scans.items()):
        path = tmp_path / f"other-{modality}.nii.gz"
        shutil.copy(scan.path, path)
        copies[modality] = Scan(modality, path)
    same = Visit("99", "B", copies)
    assert preparation_key(same, RECIPE, seed=1, skull_strip="auto") == prepared.key


def test_the_key_sees_every_input(done, tmp_path):
    visit, prepared, _ = done
    mask = write_volume(truth_mask(SPACING), tmp_path / "mask.nii.gz")
    swapped = {"T1w": visit.scans["T2w"], "T2w": visit.scans["T1w"]}
    changes = [
        {"visit": dataclasses.replace(visit, scans={"T1w": visit.scans["T1w"]})},
        {"visit": dataclasses.replace(visit, scans=swapped)},
        {"visit": dataclasses.replace(visit, brain_mask=mask, mask_of="T1w")},
        {"visit": dataclasses.replace(visit, brain_mask=mask, mask_of="T2w")},
        {"recipe": load_recipe("impute", {"grid.spacing": "3.0"})},
        {"recipe": load_recipe("impute", {"preparation.bias_correction": "true"})},
        {
            "recipe": RECIPE.model_copy(
                update={"modalities": dict(reversed(RECIPE.modalities.items()))}
            )
        },
        {"seed": 2},
        {"skull_strip": "template"},
    ]
    keys = {prepared.key}
    for change in changes:
        given = {"visit": visit, "recipe": RECIPE, "seed": 1, "skull_strip": "auto", **change}
        keys.add(preparation_key(given.pop("visit"), given.pop("recipe"), **given))
    assert len(keys) == len(changes) + 1


def test_the_key_ignores_modalities_of_other_recipes(done, tmp_path):
    visit, prepared, _ = done
    (tmp_path / "ct.nii.gz").write_bytes(b"any")
    more = {**visit.scans, "ct": Scan("ct", tmp_path / "ct.nii.gz")}
    other = dataclasses.replace(visit, scans=more)
    assert preparation_key(other, RECIPE, seed=1, skull_strip="auto") == prepared.key
