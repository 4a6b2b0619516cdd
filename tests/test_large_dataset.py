"""Ten thousand participants, and every shape of dataset: a plan in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bids_fixtures import make_dataset

from bids_synth.bids.plan_json import plan_json
from bids_synth.bids.raw.query import query
from bids_synth.recipe.recipe import Recipe, load_recipe, validate_recipe

ROOT = Path(__file__).resolve().parent.parent
MANY = 10_000
MOST_MB = 600
"""Half as much again as was ever measured; a hundredth of what the images would take."""
CHILD = """
import sys
from pathlib import Path
from bids_synth.cli.main import run_command
code = run_command(sys.argv[1:])
# Not getrusage, which counts what the process that started this one had in memory, too.
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0], file=sys.stderr)
sys.exit(code)
"""


def make_many(folder: Path, participants: int) -> Path:
    """T1w for everybody and T2w for every other one, in files of no bytes."""
    folder.mkdir()
    (folder / "dataset_description.json").write_text('{"Name": "many", "BIDSVersion": "1.10.0"}')
    for number in range(participants):
        label = f"sub-{number:05d}"
        anat = folder / label / "anat"
        anat.mkdir(parents=True)
        for suffix in ("T1w", "T2w")[: 1 + number % 2]:
            (anat / f"{label}_{suffix}.nii.gz").touch()
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_many(tmp_path_factory.mktemp("many") / "bids", MANY)


def planned(dataset: Path, *options: str) -> tuple[dict, float]:
    """The plan of a program of its own, and its peak memory in MB."""
    line = [str(dataset), str(dataset.parent / "out"), "participant", "--dry-run", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *line, "-w", str(dataset.parent / "work"), *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    # Files of no bytes are refused, each visit of them fails: 1, as a run would end.
    assert done.returncode == 1, done.stderr[-2000:]
    return json.loads(done.stdout), int(done.stderr.split()[-1]) / 1024


@pytest.mark.slow
def test_all_of_ten_thousand_are_planned_in_bounded_memory(many: Path) -> None:
    plan, memory = planned(many)
    assert len(plan["visits"]) == MANY
    assert {visit["action"] for visit in plan["visits"]} == {"blocked"}
    assert plan["visits"][1]["present"] == ["T1w", "T2w"]
    assert "is empty (0 bytes)" in plan["visits"][MANY - 1]["reason"]
    assert plan["participants"] == plan["fetch"] == []
    assert 50 < memory < MOST_MB


@pytest.mark.slow
def test_one_of_ten_thousand_costs_no_more_memory_than_one_of_three(
    many: Path, tmp_path: Path
) -> None:
    plan, memory = planned(many, "--participant-label", "05001")
    assert [visit["visit"] for visit in plan["visits"]] == ["sub-05001"]
    _, least = planned(make_many(tmp_path / "bids", 3), "--participant-label", "00001")
    assert memory < least + 20


SHAPES: dict[str, tuple[tuple[str, ...], dict[str, dict[str, str]]]] = {
    "no sessions": (
        ("sub-01/anat/sub-01_T1w.nii.gz", "sub-01/func/sub-01_task-rest_bold.nii.gz"),
        {"sub-01": {"T1w": "sub-01_T1w"}},
    ),
    "sessions, of which one has no head": (
        (
            "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
            "sub-01/ses-2/func/sub-01_ses-2_task-rest_bold.nii.gz",
            "sub-02/ses-2/anat/sub-02_ses-2_T2w.nii.gz",
        ),
        {
            "sub-01_ses-1": {"T1w": "sub-01_ses-1_T1w"},
            "sub-02_ses-2": {"T2w": "sub-02_ses-2_T2w"},
        },
    ),
    "some participants with sessions": (
        ("sub-01/anat/sub-01_T1w.nii.gz", "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz"),
        {"sub-01": {"T1w": "sub-01_T1w"}, "sub-02_ses-1": {"T1w": "sub-02_ses-1_T1w"}},
    ),
    "acq, rec, run": (
        (
            "sub-01/anat/sub-01_acq-highres_run-02_T1w.nii.gz",
            "sub-01/anat/sub-01_acq-highres_run-10_T1w.nii.gz",
            "sub-01/anat/sub-01_acq-highres_rec-norm_run-1_T2w.nii.gz",
        ),
        {
            "sub-01": {
                "T1w": "sub-01_acq-highres_run-02_T1w",
                "T2w": "sub-01_acq-highres_rec-norm_run-1_T2w",
            }
        },
    ),
    "magnitude and phase": (
        (
            "sub-01/anat/sub-01_part-mag_T1w.nii.gz",
            "sub-01/anat/sub-01_part-phase_T1w.nii.gz",
            "sub-02/anat/sub-02_part-phase_T1w.nii.gz",
        ),
        {"sub-01": {"T1w": "sub-01_part-mag_T1w"}},
    ),
    "pet": (
        (
            "sub-01/ses-baseline/anat/sub-01_ses-baseline_T1w.nii",
            "sub-01/ses-baseline/pet/sub-01_ses-baseline_trc-11CPS13_pet.nii.gz",
            "sub-01/ses-baseline/pet/sub-01_ses-baseline_recording-manual_blood.tsv",
        ),
        {
            "sub-01_ses-baseline": {
                "T1w": "sub-01_ses-baseline_T1w",
                "pet": "sub-01_ses-baseline_trc-11CPS13_pet",
            }
        },
    ),
    "perfusion": (
        (
            "sub-01/perf/sub-01_asl.nii.gz",
            "sub-01/perf/sub-01_m0scan.nii.gz",
            "sub-01/perf/sub-01_cbf.nii.gz",
            "sub-01/anat/sub-01_T1w.nii.gz",
        ),
        {"sub-01": {"T1w": "sub-01_T1w", "cbf": "sub-01_cbf"}},
    ),
    "quantitative MRI": (
        (
            "sub-01/anat/sub-01_echo-1_flip-1_mt-on_MPM.nii.gz",
            "sub-01/anat/sub-01_inv-1_MP2RAGE.nii.gz",
            "sub-01/anat/sub-01_UNIT1.nii.gz",
            "sub-01/anat/sub-01_T1map.nii.gz",
            "sub-01/fmap/sub-01_TB1map.nii.gz",
            "derivatives/qMRLab/sub-01/anat/sub-01_T1map.nii.gz",
        ),
        {"sub-01": {"T1map": "sub-01_T1map"}},
    ),
    "derivatives and sourcedata inside": (
        (
            "sub-01/anat/sub-01_T1w.nii.gz",
            "derivatives/fmriprep/sub-01/anat/sub-01_desc-preproc_T2w.nii.gz",
            "derivatives/fmriprep/sub-02/anat/sub-02_desc-preproc_T1w.nii.gz",
            "sourcedata/sub-03/anat/sub-03_T1w.nii.gz",
            "sub-01/anat/sub-01_desc-preproc_T2w.nii.gz",
        ),
        {"sub-01": {"T1w": "sub-01_T1w"}},
    ),
    "longer entities and letters in labels": (
        (
            "sub-EESS001/anat/sub-EESS001_ce-gadolinium_T1w.nii.gz",
            "sub-EESS001/anat/sub-EESS001_T1w.nii.gz",
            "sub-emptyroom/meg/sub-emptyroom_task-noise_meg.fif",
        ),
        {"sub-EESS001": {"T1w": "sub-EESS001_T1w"}},
    ),
}
"""After the layouts of the public examples of BIDS: files, and the scans that a plan must find."""


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """Sources of every folder that modalities lie in."""
    names = dict.fromkeys(("T1w", "T2w", "pet", "cbf"), "source") | {"T1map": "target"}
    data = load_recipe("impute").model_dump(mode="json") | {"modalities": names}
    return validate_recipe(data, origin="test")


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_dataset_is_planned(shape: str, recipe: Recipe, tmp_path: Path) -> None:
    files, expected = SHAPES[shape]
    dataset = make_dataset(tmp_path / "bids", *files)
    found = query(dataset, recipe)
    assert found.problems == ()
    scans = {
        visit.label: {m: scan.path.name.split(".")[0] for m, scan in visit.scans.items()}
        for visit in found.visits
    }
    assert scans == expected
    plan = json.loads(plan_json(found, recipe, dataset, evaluate=False))
    assert [visit["visit"] for visit in plan["visits"]] == sorted(expected)
    assert all((dataset / file).is_file() for visit in plan["visits"] for file in visit["files"])
