"""The demo dataset: valid, deterministic, and true to its truth."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.registration import phase_cross_correlation

from bids_synth.demo.__main__ import main
from bids_synth.demo.dataset import make_demo
from bids_synth.demo.head.anatomy import build_template
from bids_synth.demo.head.individual import draw_individual
from bids_synth.demo.plan import plan_visits
from bids_synth.demo.scanner.qmri import LEAST_CBV, oxygen_consumption
from bids_synth.demo.scanner.resampling import itk_text
from bids_synth.demo.scanner.sequence import SEQUENCES
from bids_synth.demo.visit_images import make_visit
from bids_synth.errors import UsageError
from bids_synth.spatial.volume import read_volume, write_volume

EVERY = tuple(SEQUENCES)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return make_demo(tmp_path_factory.mktemp("demo") / "bids", participants=4, resolution=4.0)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    out = tmp_path_factory.mktemp("full") / "bids"
    return make_demo(out, participants=1, resolution=4.0, modalities=EVERY)


def voxels(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder): path.read_bytes() for path in files}


def errors(folder):
    tool = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent)) or (
        shutil.which("bids-validator-deno")
    )
    if tool is None:
        pytest.skip("bids-validator-deno is not installed")
    done = subprocess.run(
        [tool, "--format", "json", str(folder)], capture_output=True, text=True, check=False
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [issue for issue in issues if issue["severity"] == "error"], done.returncode


def test_default_plan_holds_what_the_main_job_needs():
    visits = plan_visits(12, ("T1w", "T2w", "PDw"))
    lacking = [v for v in visits if v.withheld]
    assert all(len(v.withheld) == 1 for v in lacking)
    assert 0.2 <= len(lacking) / len(visits) <= 0.3
    assert sum(v.withheld == ("T2w",) for v in lacking) >= 2
    assert sum(v.withheld == ("T1w",) for v in lacking) == 1
    assert len({v.participant for v in visits} - {v.participant for v in lacking}) >= 8
    assert all(int(v.participant) <= 8 for v in lacking)
    assert {v.session for v in visits} == {None, "1", "2"}


@pytest.mark.parametrize("participants", [1, 2, 3, 5, 9, 30, 120])
def test_any_plan_keeps_the_last_third_whole(participants):
    visits = plan_visits(participants, ("T1w", "ct"))
    assert len({v.participant for v in visits}) == participants
    for visit in visits:
        assert set(visit.acquired) | set(visit.withheld) == {"T1w", "ct"}
        if visit.number >= participants * 2 // 3:
            assert not visit.withheld
        if participants < 10:
            assert "T1w" in visit.acquired


def test_the_dataset_is_what_was_planned(demo):
    for visit in plan_visits(4, ("T1w", "T2w", "PDw")):
        found = {p.name for p in demo.rglob(f"{visit.label}_*.nii.gz") if "truth" not in p.parts}
        assert found == {f"{visit.label}_{name}.nii.gz" for name in visit.acquired}
        truth = {p.name for p in demo.rglob(f"{visit.label}_*desc-truth_*.nii.gz")}
        assert truth == {f"{visit.label}_space-T1w_desc-truth_{n}.nii.gz" for n in visit.withheld}
    header, *rows = (demo / "participants.tsv").read_text().splitlines()
    assert header.split("\t") == ["participant_id", "age", "sex", "site", "rs6971", "Hct", "O2sat"]
    assert [row.split("\t")[0] for row in rows] == ["sub-01", "sub-02", "sub-03", "sub-04"]


def test_the_validator_finds_no_error(demo, full):
    for folder in (demo, demo / "derivatives" / "truth", full, full / "derivatives" / "truth"):
        assert errors(folder) == ([], 0)


def test_the_validator_sees_a_broken_demo(demo, tmp_path):
    broken = shutil.copytree(demo, tmp_path / "broken")
    anat = broken / "sub-01" / "anat"
    (anat / "sub-01_T2w.nii.gz").rename(anat / "T2.nii.gz")
    assert errors(broken)[0]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(demo, tmp_path):
    again = make_demo(tmp_path / "again", participants=1, resolution=4.0)
    for folder, count in ((Path("sub-01"), 6), (Path("derivatives/truth/sub-01"), 8)):
        assert len(voxels(again / folder)) == count
        assert voxels(again / folder) == voxels(demo / folder)
    other = make_demo(tmp_path / "other", participants=1, resolution=4.0, seed=2)
    name = Path("sub-01/anat/sub-01_T1w.nii.gz")
    assert (other / name).read_bytes() != (demo / name).read_bytes()


def test_a_modality_does_not_depend_on_the_others(demo, full):
    for name in ("T1w", "T2w", "PDw"):
        path = Path(f"sub-01/anat/sub-01_{name}.nii.gz")
        one, other = read_volume(demo / path), read_volume(full / path)
        assert one.grid.matches(other.grid)
        np.testing.assert_array_equal(one.array, other.array)


def test_images_of_a_visit_differ_in_grid(full):
    grids = {p.name: read_volume(p).grid for p in (full / "sub-01").rglob("*.nii.gz")}
    assert len({g.orientation for g in grids.values()}) >= 3
    assert len({tuple(np.round(sorted(g.spacing), 3)) for g in grids.values()}) >= 3
    turned = [g for g in grids.values() if (np.abs(g.affine[:3, :3]) > 1e-6).sum() > 3]
    assert turned


def test_cmro2_is_the_closed_form_of_the_maps_before_their_noise():
    template = build_template(3.0)
    person = draw_individual(np.random.default_rng(0), template, 0)
    quiet = {n: SEQUENCES[n] for n in ("cbf", "cbv", "T2map", "T2starmap", "cmro2")}
    made = make_visit(
        template, person, (), seed=(1, 0, 0), resolution=4.0, noiseless_of=tuple(quiet)
    ).truth.images
    maps = [made[n].array.astype(np.float64) for n in ("cbf", "cbv", "T2map", "T2starmap")]
    wanted = oxygen_consumption(*maps, hct=person.hct, o2sat=person.o2sat)
    brain = maps[1] >= LEAST_CBV
    assert brain.sum() > 10_000
    np.testing.assert_allclose(made["cmro2"].array[brain], wanted[brain], rtol=1e-3)
    assert 80 < np.median(wanted[brain]) < 220
    assert (made["cmro2"].array[~brain] == 0).all()


def test_quantities_are_in_their_units(full):
    at = {p.name.split("_")[-1][:-7]: read_volume(p) for p in (full / "sub-01").rglob("*.nii.gz")}
    ct = at["ct"].array
    assert ct.min() >= -1024
    assert np.median(ct[:2]) == pytest.approx(-1000, abs=15)
    assert 1000 < np.percentile(ct, 99.8) < 2200
    assert 0.05 < np.median(at["T2map"].array[at["cbv"].array > 1]) < 0.12
    assert 25 < np.percentile(at["cbf"].array, 98) < 70
    assert 0.3 < np.percentile(at["pet"].array, 97) < 2.5
    for name in ("T2map", "T2starmap"):
        text = (full / "sub-01" / "anat" / f"sub-01_{name}.json").read_text()
        assert json.loads(text)["Units"] == "s"


@pytest.fixture(scope="module")
def noiseless_visit():
    """A visit whose scans have no noise, bias or lesions to speak of, at 2 mm."""
    template = build_template(2.0)
    person = draw_individual(np.random.default_rng(8), template, 2)
    return make_visit(
        template, person, ("T1w", "T2w"), seed=(1, 2, 0), resolution=2.0, noiseless_of=("T2w",)
    )


def misalignment(fixed, moving, mask):
    """Shift in voxels that best aligns two images inside a mask."""
    one, other = (np.where(mask > 0, volume, 0) for volume in (fixed, moving))
    shift, _, _ = phase_cross_correlation(one, other, upsample_factor=20, normalization=None)
    return np.abs(shift).max()


def test_the_truth_transform_aligns_a_scan_to_the_t1w(noiseless_visit, tmp_path):
    ants = pytest.importorskip("ants")
    truth = noiseless_visit.truth
    moving = ants.image_read(
        str(write_volume(noiseless_visit.scans["T2w"], tmp_path / "t2w.nii.gz"))
    )
    fixed = ants.image_read(
        str(write_volume(noiseless_visit.scans["T1w"], tmp_path / "t1w.nii.gz"))
    )
    xfm = tmp_path / "xfm.txt"
    xfm.write_text(itk_text(truth.motions["T2w"]))
    wanted, mask = truth.images["T2w"].array, truth.mask.array
    aligned = ants.apply_transforms(fixed, moving, transformlist=[str(xfm)]).numpy()
    still = ants.apply_transforms(fixed, moving, transformlist=[]).numpy()
    right = np.corrcoef(aligned[mask > 0], wanted[mask > 0])[0, 1]
    wrong = np.corrcoef(still[mask > 0], wanted[mask > 0])[0, 1]
    assert right > 0.95 > wrong + 0.05
    assert misalignment(wanted, aligned, mask) < 0.2


def test_the_true_mask_is_the_brain(noiseless_visit):
    truth = noiseless_visit.truth
    labels, mask = truth.segments.array, truth.mask.array
    assert set(np.unique(labels)) <= {0, 1, 2, 3, 4, 5, 7}
    parenchyma = np.isin(labels, (1, 2, 7))
    # Optic nerves and spinal cord are white matter outside the outline.
    assert (mask[parenchyma] > 0).mean() > 0.95
    volume = mask.sum() * 8 / 1000
    assert 1100 < volume < 2100
    t1w = noiseless_visit.scans["T1w"].array
    assert t1w[labels == 2].mean() > t1w[labels == 1].mean() > t1w[labels == 3].mean()
    assert t1w[labels == 0].mean() < 0.2 * t1w[labels == 2].mean()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"participants": 0}, "at least 1"),
        ({"resolution": 0.5}, "1 to 4"),
        ({"modalities": ["T1"]}, "no modality T1;"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(change, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        make_demo(tmp_path / "new", **change)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_in_use_is_left_alone(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"bids_synth.demo: .*not an empty folder.*\n", said)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_the_command_line_makes_a_dataset(tmp_path, capsys):
    out = tmp_path / "bids"
    assert main([str(out), "--participants", "1", "--resolution", "4", "--modalities", "T2w"]) == 0
    assert "1 participants" in capsys.readouterr().out
    names = {p.name for p in (out / "sub-01").rglob("*.nii.gz")}
    assert names == {"sub-01_T1w.nii.gz", "sub-01_T2w.nii.gz"}


@pytest.mark.slow
def test_twelve_participants_at_2_mm_with_every_modality_are_valid(tmp_path):
    out = make_demo(tmp_path / "bids", modalities=EVERY)
    assert errors(out) == ([], 0)
    assert errors(out / "derivatives" / "truth") == ([], 0)
    assert len(list(out.glob("sub-*"))) == 12
