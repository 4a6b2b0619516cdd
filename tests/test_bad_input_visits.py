"""Bad visits: one dataset of many faults, of which the good visits finish; swapped contrasts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bad_scans import DIM, MAGIC, PIXDIM, QFORM_CODE, SFORM, SFORM_CODE, SLOPE, UNITS, save
from bids_fixtures import make_dataset
from prepare_phantom import make_scan, motion, truth_mask

from bids_synth.cli.main import run_command
from bids_synth.core.modality import MODALITIES
from bids_synth.core.scale import fit_scale
from bids_synth.core.visit import Prepared, Visit
from bids_synth.evaluate.trust.verdict import judge
from bids_synth.learn.data.training_statistics import figures, training_ranges
from bids_synth.prepare.brain.region import core
from bids_synth.spatial.volume import Volume, read_grid, read_volume, write_volume

SPACING = 5.0
FLIP = np.diag([-1.0, 1.0, 1.0, 1.0])

HEADERS: dict[str, tuple[dict[str, tuple[object, ...]], str]] = {
    "magic": ({"a": (MAGIC, "4s", b"none")}, "its magic is"),
    "fourd": ({"a": (DIM, "5h", 4, 10, 10, 10, 10)}, "expected a 3D image"),
    "slice": ({"a": (DIM, "4h", 3, 40, 40, 1)}, "has only 1 slice(s)"),
    "huge": ({"a": (DIM, "4h", 3, 2000, 2000, 2000)}, "more than 100,000,000 voxels"),
    "body": ({"a": (SFORM + 40, "f", 50.0)}, "expected a head"),
    "size": ({"a": (PIXDIM + 4, "f", 0.0)}, "expected positive numbers"),
    "noform": (
        {"a": (SFORM_CODE, "h", 0), "b": (QFORM_CODE, "h", 0)},
        "left and right are unknown",
    ),
    "twoforms": ({"a": (SFORM, "f", -SPACING)}, "contradict each other"),
    "complex": ({"a": (70, "h", 32)}, "voxels are complex"),
    "colour": ({"a": (70, "h", 128)}, "voxels are colours"),
}
"""Participant -> fields put into the header of its T1w, and words of its problem."""


def scan(modality: str, seed: int, *, stripped: bool = True) -> Volume:
    return make_scan(modality, spacing=SPACING, stripped=stripped, seed=seed)


def good(anat: Path, label: str) -> None:
    for seed, modality in enumerate(("T1w", "T2w")):
        write_volume(scan(modality, seed), anat / f"sub-{label}_{modality}.nii.gz")


def odd(anat: Path, label: str) -> None:
    """Left-handed, oblique, of integers with a slope, of no unit: nothing wrong with that."""
    for seed, modality in enumerate(("T1w", "T2w")):
        volume = scan(modality, seed)
        affine = motion((5, -4, 3), (12, -9, 7)) @ volume.grid.affine
        flipped = FLIP.copy()
        flipped[0, 3] = volume.grid.shape[0] - 1
        save(
            anat / f"sub-{label}_{modality}.nii.gz",
            np.rint(volume.array[::-1] * 20).astype(np.int16),
            affine @ flipped,
            slope=(SLOPE, "2f", 0.05, 0.0),
            unit=(UNITS, "B", 0),
        )


def contents(bids: Path) -> dict[str, str]:
    """Write participants whose T1w only its content betrays; label -> words of the problem."""

    def place(label: str) -> Path:
        return bids / f"sub-{label}/anat/sub-{label}_T1w.nii.gz"

    array = scan("T1w", 0).array
    holes = array.copy()
    holes[10, 10, 10] = np.nan
    affine = truth_mask(SPACING).grid.affine
    cut = save(place("cut"), array, affine)
    cut.write_bytes(cut.read_bytes()[:5000])
    broken = save(place("crc"), array, affine)
    broken.write_bytes(broken.read_bytes()[:-8] + bytes(4) + broken.read_bytes()[-4:])
    save(place("nan"), holes, affine)
    save(place("flat"), np.full_like(array, 9), affine)
    save(place("zero"), np.zeros_like(array), affine)
    place("empty").parent.mkdir(parents=True)
    place("empty").write_bytes(b"")
    place("text").parent.mkdir(parents=True)
    place("text").write_text("this is no NIfTI")
    return {
        "cut": "voxels cannot be read",
        "crc": "is damaged",
        "nan": "1 of",
        "flat": "all voxels are 9",
        "zero": "all voxels are 0",
        "empty": "is empty (0 bytes)",
        "text": "not a readable NIfTI",
    }


def apart(anat: Path, label: str) -> None:
    """A T2w of a corner of the field, too small to hold a fifth of the brain."""
    write_volume(scan("T1w", 0), anat / f"sub-{label}_T1w.nii.gz")
    whole = scan("T2w", 1, stripped=False)
    corner = Volume(whole.array[:13, :13, :13], whole.grid.crop((0, 0, 0), (13, 13, 13)))
    write_volume(corner, anat / f"sub-{label}_T2w.nii.gz")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with `bids`, and of every bad participant words of its problem."""
    folder = tmp_path_factory.mktemp("bad") / "Köpfe 100% 脳"
    bids = make_dataset(folder / "bids")
    good(bids / "sub-good/anat", "good")
    odd(bids / "sub-odd/anat", "odd")
    apart(bids / "sub-apart/anat", "apart")
    words = {"apart": "does not overlap the reference scan", **contents(bids)}
    for label, (fields, told) in HEADERS.items():
        t1w = bids / f"sub-{label}/anat/sub-{label}_T1w.nii.gz"
        save(t1w, np.rint(scan("T1w", 0).array).astype(np.int16),
             truth_mask(SPACING).grid.affine, **fields)  # fmt: skip
        words[label] = told
    stray = bids / "sub-stray/anat"
    stray.mkdir(parents=True)
    (stray / "sub-good_T1w.nii.gz").write_bytes(
        (bids / "sub-good/anat/sub-good_T1w.nii.gz").read_bytes()
    )
    words["stray"] = "its name says sub-good, its folder sub-stray"
    (bids / "sub-good/anat/sub-good_T1w.json").write_text("{")
    (bids / "participants.tsv").write_text("participant_id,age\nsub-good,1\n")
    return folder, words


def run(folder: Path, *options: str) -> int:
    job = [str(folder / "bids"), str(folder / "out"), "participant", "-w", str(folder / "work")]
    part = ["--sloppy", "--modalities", "T1w", "T2w", "--nprocs", "1"]
    return run_command([*job, *part, *options])


def test_a_plan_names_what_headers_betray(
    place: tuple[Path, dict[str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    folder, words = place
    assert run(folder, "--dry-run", "--json", "--preproc-only") == 1
    plan = {row["visit"]: row for row in json.loads(capfd.readouterr().out)["visits"]}
    for label in (*HEADERS, "empty", "text", "stray"):
        assert plan[f"sub-{label}"]["action"] == "blocked"
        assert words[label] in plan[f"sub-{label}"]["reason"]
    for label in ("good", "odd", "nan"):
        assert plan[f"sub-{label}"]["action"] != "blocked"
    assert not (folder / "out").exists()


@pytest.mark.slow
def test_the_good_finish_and_every_fault_is_named_at_the_end(
    place: tuple[Path, dict[str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    folder, words = place
    assert run(folder, "--preproc-only") == 1
    shown = capfd.readouterr()
    assert "Traceback" not in shown.out + shown.err
    end = shown.out.split(f"{len(words)} visits failed:\n")[1].splitlines()
    told = dict(line.strip().split(": ", 1) for line in end)
    assert set(told) == {f"sub-{label}" for label in words}
    for label, expected in words.items():
        assert expected in told[f"sub-{label}"]
        assert f"/sub-{label}/anat/" in told[f"sub-{label}"]
    assert len(end) == len(words), "a problem takes more than one line"
    assert "sub-good_T1w.json: is ignored" in shown.err
    assert "participants.tsv: is ignored" in shown.err
    prepared = {
        path.name for path in (folder / "out").glob("sub-*/anat/*_desc-preproc_T?w.nii.gz")
    }
    assert {name.split("_")[0] for name in prepared} == {"sub-good", "sub-odd"}


@pytest.mark.slow
def test_the_odd_one_was_prepared_like_the_good_one(
    place: tuple[Path, dict[str, str]],
) -> None:
    """Runs on what the test above has left; the same head, so the same size of brain."""
    output = place[0] / "out"
    volumes = {}
    for label in ("good", "odd"):
        (path,) = (output / f"sub-{label}/anat").glob("*_space-T1w_desc-brain_mask.nii.gz")
        mask = read_volume(path)
        raw = place[0] / f"bids/sub-{label}/anat/sub-{label}_T1w.nii.gz"
        assert mask.grid.matches(read_grid(raw), tolerance=1e-3)
        volumes[label] = mask.array.sum()
    assert volumes["odd"] == pytest.approx(volumes["good"], rel=0.02)


def figures_of(folder: Path, seed: int, shown: dict[str, str]) -> dict[str, float]:
    """Figures of a visit whose T1w and T2w show what `shown` says."""
    mask = truth_mask(SPACING)
    images = {m: scan(shown[m], seed + 10 * n) for n, m in enumerate(("T1w", "T2w"))}
    prepared = Prepared(
        visit=Visit("01", None, {}),
        reference="T1w",
        native=mask.grid,
        grid=mask.grid,
        images={m: write_volume(v, folder / f"{m}.nii.gz") for m, v in images.items()},
        mask=write_volume(mask, folder / "mask.nii.gz"),
        native_mask=folder / "mask.nii.gz",
        transforms={},
        template=folder / "none",
        scales={
            m: fit_scale(MODALITIES[m], v.array[core(mask)], log=False, suvr=False)
            for m, v in images.items()
        },
        quality={},
        stripped=True,
        key="k",
    )
    return figures(prepared, ("T1w", "T2w"))


def test_swapped_contrasts_are_flagged_by_the_verdict(tmp_path: Path) -> None:
    right = {"T1w": "T1w", "T2w": "T2w"}
    training = [figures_of(tmp_path, seed, right) for seed in range(1, 7)]
    typical = {name: (r.mean, r.sd) for name, r in training_ranges(training).items()}
    assert judge(figures_of(tmp_path, 7, right), typical).level == "pass"
    for wrong in ("T1w", "T2w"):
        other = {"T1w": "T2w", "T2w": "T1w"}[wrong]
        verdict = judge(figures_of(tmp_path, 8, {**right, wrong: other}), typical)
        assert verdict.level != "pass"
        assert any(f"The {wrong} looks unlike" in reason for reason in verdict.reasons)
