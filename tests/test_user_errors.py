"""Every user error: one clear line that says what to do, the right exit code, no traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bids_fixtures import HEAD, make_dataset, volume

from bids_synth.cli.main import run_command
from bids_synth.spatial.volume import write_volume

PEOPLE = ("01", "02", "03", "04")
Setting = Callable[[Path], object]


def nothing(place: Path) -> None:
    """The dataset as it is."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, the current one, with `bids`: four participants with T1w and T2w, one run each."""
    paths = [f"sub-{p}/anat/sub-{p}_{m}.nii.gz" for p in PEOPLE for m in ("T1w", "T2w")]
    make_dataset(tmp_path / "bids", *paths)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "templateflow"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return tmp_path


def text(name: str, content: str | bytes) -> Setting:
    """A file beside the dataset."""

    def write(place: Path) -> None:
        data = content.encode() if isinstance(content, str) else content
        (place / name).write_bytes(data)

    return write


def only_participant(place: Path) -> None:
    """Two participants lose their images: too few remain."""
    for label in PEOPLE[:2]:
        for path in (place / f"bids/sub-{label}/anat").iterdir():
            path.unlink()


def no_description(place: Path) -> None:
    """The dataset loses what makes it one."""
    (place / "bids/dataset_description.json").unlink()


def all_dangling(place: Path) -> None:
    """A DataLad clone of which nothing was fetched."""
    for path in (place / "bids").glob("sub-*/anat/*.nii.gz"):
        path.unlink()
        path.symlink_to(f"../../.git/annex/objects/{path.name}")


def alias(place: Path) -> None:
    """The dataset under another name."""
    (place / "other").symlink_to(place / "bids")


def model(place: Path, **changes: object) -> None:
    """A folder that looks like a model, with a card that is no card."""
    folder = place / "out/models/impute"
    folder.mkdir(parents=True)
    from bids_synth.recipe.recipe import load_recipe

    (folder / "recipe.toml").write_text(load_recipe("impute").to_toml())
    (folder / "model.json").write_text(json.dumps({"format": 1, **changes}))


GROUP = ("bids", "out", "group")
PART = ("bids", "out", "participant")
SPLIT = "participant_id\tpart\n" + "".join(
    f"sub-{p}\t{part}\n"
    for p, part in zip(PEOPLE, ("training", "training", "validation", "test"), strict=True)
)

WRONG_USAGE: list[tuple[str, Setting, tuple[str, ...], tuple[str, ...]]] = [
    # folders
    ("no dataset", nothing, ("gone", "out", "group"), ("gone", "is not a folder")),
    ("no description", no_description, GROUP, ("dataset_description.json", "give the folder")),
    ("output is the dataset", nothing, ("bids", "bids", "group"), ("is the dataset; use",)),
    ("output is a link to it", alias, ("bids", "other", "group"), ("is the dataset; use",)),
    ("output among the scans", nothing, ("bids", "bids/sub-01/x", "group"), ("lies in the raw",)),
    ("output is a file", text("out", "x"), GROUP, ("out", "is no folder; give a folder")),
    ("output below a file", text("f", "x"), ("bids", "f/o", "group"), ("f is no folder",)),
    ("work in the dataset", nothing, (*GROUP, "-w", "bids/w"), ("lies inside the dataset",)),
    ("work in a link to it", alias, (*GROUP, "-w", "other/w"), ("lies inside the dataset",)),
    ("work is a file", text("w", "x"), (*GROUP, "-w", "w"), ("--work-dir", "is no folder")),
    # labels and filters
    ("no such participant", nothing, (*PART, "--preproc-only", "--participant-label", "01", "99"),
     ("has no 99", "01, 02, 03, 04")),
    ("no such session", nothing, (*PART, "--preproc-only", "--session-label", "B"), ("no B",)),
    ("no filter file", nothing, (*GROUP, "--bids-filter-file", "f.json"), ("f.json", "no such")),
    ("filter is no JSON", text("f.json", "{"), (*GROUP, "--bids-filter-file", "f.json"),
     ("f.json", "not valid JSON")),
    ("filter is binary", text("f.json", b"\xff\xfe\x00"), (*GROUP, "--bids-filter-file", "f.json"),
     ("f.json", "is no text file")),
    ("unknown filter key", text("f.json", '{"t1w": {"acquisitoin": "x"}}'),
     (*GROUP, "--bids-filter-file", "f.json"), ("f.json", "acquisitoin", "allowed")),
    ("derivatives without a name", nothing, (*GROUP, "-d", "fmriprep"), ("NAME=PATH",)),
    ("no such derivatives", nothing, (*GROUP, "-d", "fmriprep=gone"), ("fmriprep", "gone")),
    ("no visit", nothing, (*GROUP, "--modalities", "PDw", "FLAIR"), ("no visit has any of",)),
    # resources
    ("memory without unit", nothing, (*GROUP, "--mem", "16"), ("--mem 16", "16G or 500M")),
    ("no cores", nothing, (*GROUP, "--nprocs", "0"), ("--nprocs 0", "at least 1")),
    ("odd device", nothing, (*GROUP, "--device", "gpu"), ("--device gpu", "cuda:N")),
    ("no CUDA", nothing, (*GROUP, "--device", "cuda"), ("--device cuda", "--device auto or cpu")),
    ("no strip tool", nothing, (*GROUP, "--skull-strip", "hd-bet"), ("hd-bet", "install it")),
    # recipe
    ("unknown recipe", nothing, (*GROUP, "--recipe", "x"), ("--recipe x", "known:", "impute")),
    ("no recipe file", nothing, (*GROUP, "--recipe", "x.toml"), ("x.toml", "cannot be read")),
    ("recipe is no TOML", text("x.toml", "= ="), (*GROUP, "--recipe", "x.toml"),
     ("x.toml", "not valid TOML")),
    ("recipe is binary", text("x.toml", b"\xff\xfe"), (*GROUP, "--recipe", "x.toml"),
     ("x.toml", "is no text file")),
    ("unknown recipe key", nothing, (*GROUP, "--set", "fit.stepz=1"),
     ("fit.stepz: unknown key", "steps")),
    ("recipe value out of range", nothing, (*GROUP, "--set", "fit.steps=0"), ("fit.steps",)),
    ("contradictory recipe", nothing, (*GROUP, "--set", "minimum=9"), ("minimum: 9 exceeds",)),
    ("strange modality", nothing, (*GROUP, "-m", "T1w", "T9w"), ("T9w", "allowed: T1w")),
    ("one modality", nothing, (*GROUP, "-m", "T1w"), ("at least two",)),
    # fit
    ("too few", only_participant, GROUP, ("two modalities with at least 3", "T1w 2, ", "T2w 2, ")),
    ("all dangling", all_dangling, GROUP, ("4 visit(s) cannot be used", "datalad get")),
    ("fold out of range", nothing, (*GROUP, "--folds", "3", "--fold", "3"), ("expected 0 to 2",)),
    ("fold negative", nothing, (*GROUP, "--fold", "-1"), ("--fold -1", "expected 0 to 0")),
    ("fold not in the split", text("s.tsv", SPLIT),
     (*GROUP, "--split-file", "s.tsv", "--fold", "1"),
     ("--fold 1: expected 0 to 0 (--split-file)",)),
    ("more folds than people", nothing, (*GROUP, "--folds", "9"), ("--folds",)),
    ("no split file", nothing, (*GROUP, "--split-file", "s.tsv"), ("s.tsv: no such file",)),
    ("split without columns", text("s.tsv", "a,b\n1,2\n"), (*GROUP, "--split-file", "s.tsv"),
     ("s.tsv", "participant_id and part")),
    ("split is binary", text("s.tsv", b"\xff\xfe\x00"), (*GROUP, "--split-file", "s.tsv"),
     ("s.tsv", "is no text file")),
    ("split with an odd part", text("s.tsv", SPLIT.replace("validation", "valid")),
     (*GROUP, "--split-file", "s.tsv"), ("s.tsv", "unknown parts ['valid']")),
    ("split with a short row", text("s.tsv", SPLIT + "sub-05\n"),
     (*GROUP, "--split-file", "s.tsv"), ("s.tsv", "unknown parts")),
    ("split forgets one", text("s.tsv", SPLIT.replace("sub-01\ttraining\n", "")),
     (*GROUP, "--split-file", "s.tsv"), ("sub-01", "add a row")),
    ("no start", nothing, (*GROUP, "--init-from", "gone"), ("gone", "model.json")),
    # model
    ("no model", nothing, (*PART, "--recipe", "ct"), ("run the group level first", "--model")),
    ("model not there", nothing, (*PART, "--model", "gone"),
     ("--model gone", "there is: nothing")),
    ("folder is no model", nothing, (*PART, "--model", "bids"), ("bids", "recipe.toml")),
    ("model altered", model, PART, ("model.json", "weights")),
    ("model for group", nothing, (*GROUP, "--model", "x"), ("--model: is for participant",)),
    ("model's recipe changed", model, (*PART, "--set", "fit.steps=5"), ("keeps its recipe",)),
    # output spaces, run file, plan
    ("template not there", nothing, (*GROUP, "--output-spaces", "MNI152NLin2009cAsym:res-2"),
     ("nothing is downloaded", "MNI152NLin2009aSym:res-1", "TEMPLATEFLOW_HOME")),
    ("odd resolution", nothing, (*GROUP, "--output-spaces", "MNI152NLin2009aSym:res-native"),
     ("expected MNI152NLin2009aSym:res-1",)),
    ("space leads outside", nothing, (*GROUP, "--output-spaces", "../x"), ("../x",)),
    ("no run file", nothing, (*GROUP, "--config-file", "r.toml"), ("r.toml", "cannot be read")),
    ("run file is no TOML", text("r.toml", "]"), (*GROUP, "--config-file", "r.toml"),
     ("r.toml", "not valid TOML")),
    ("run file with odd keys", text("r.toml", "[nipype]\nprocs = 1\n[x]\n"),
     (*GROUP, "--config-file", "r.toml"), ("nipype.procs: unknown key", "[x]: unknown section")),
    ("run file with odd value", text("r.toml", '[nipype]\nnprocs = "many"\n'),
     (*GROUP, "--config-file", "r.toml"), ("--config-file r.toml", "--nprocs", "many")),
    ("run file with a choice", text("r.toml", '[workflow]\nskull_strip = "x"\n'),
     (*GROUP, "--config-file", "r.toml"), ("--config-file r.toml", "--skull-strip")),
    ("run file smuggles options", text("r.toml", '[execution]\nmodalities = ["--overwrite"]\n'),
     (*GROUP, "--config-file", "r.toml"), ("modalities", "looks like an option")),
    ("JSON without a plan", nothing, (*GROUP, "--json"), ("--dry-run",)),
]  # fmt: skip


def run(arguments: tuple[str, ...]) -> int:
    return run_command([*arguments, *(() if "-w" in arguments else ("-w", "work"))])


@pytest.mark.parametrize(
    ("setting", "arguments", "words"),
    [row[1:] for row in WRONG_USAGE],
    ids=[row[0] for row in WRONG_USAGE],
)
def test_wrong_usage_is_code_2_and_says_what_to_do(
    setting: Setting,
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    place: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    setting(place)
    before = set((place / "bids").rglob("*"))
    code = run(arguments)
    shown = capfd.readouterr()
    assert code == 2, shown
    assert "Traceback" not in shown.err + shown.out
    said = [line for line in shown.err.splitlines() if line.startswith("bids_synth: ")]
    assert len(said) == 1, shown.err
    missing = [word for word in words if word not in shown.err]
    assert not missing, shown.err
    assert set((place / "bids").rglob("*")) == before, "the dataset was written to"


def good_scans(place: Path, *labels: str) -> None:
    """Scans that can be read, though no brain is in them."""
    for label in labels:
        for number, modality in enumerate(("T1w", "T2w")):
            path = place / f"bids/sub-{label}/anat/sub-{label}_{modality}.nii.gz"
            write_volume(volume(HEAD, number), path)


def dangling(place: Path) -> Path:
    path = place / "bids/sub-02/anat/sub-02_T2w.nii.gz"
    path.unlink()
    path.symlink_to("../../.git/annex/objects/x/y")
    return path


def empty(place: Path) -> Path:
    path = place / "bids/sub-02/anat/sub-02_T2w.nii.gz"
    path.write_bytes(b"")
    return path


def cut(place: Path) -> Path:
    good_scans(place, "02")
    path = place / "bids/sub-02/anat/sub-02_T1w.nii.gz"
    path.write_bytes(path.read_bytes()[:100])
    return path


def no_image(place: Path) -> Path:
    good_scans(place, "02")
    path = place / "bids/sub-02/anat/sub-02_T1w.nii.gz"
    path.write_text("this is no NIfTI")
    return path


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (dangling, "datalad get"),
        (empty, "is empty (0 bytes)"),
        (cut, ""),
        (no_image, "is not a readable NIfTI"),
    ],
)
def test_a_bad_scan_fails_its_visit_with_code_1_and_the_last_line_names_it(
    fault: Callable[[Path], Path], words: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = fault(place)
    label = ("--participant-label", "02")
    assert run((*PART, "--preproc-only", "--nprocs", "1", "--sloppy", *label)) == 1
    shown = capfd.readouterr()
    last = shown.out.splitlines()[-1]
    assert last.strip().startswith("sub-02: ")
    assert path.name in last
    assert words in last
    assert "Traceback" not in shown.out + shown.err


def test_several_runs_take_the_first_and_say_so(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    anat = place / "bids/sub-01/anat"
    for number in (10, 9):
        shutil.copyfile(anat / "sub-01_T2w.nii.gz", anat / f"sub-01_run-{number}_T2w.nii.gz")
    (anat / "sub-01_T2w.nii.gz").unlink()
    assert run((*PART, "--dry-run", "--participant-label", "01")) == 0
    said = capfd.readouterr().err
    assert "sub-01_run-9_T2w.nii.gz is used, not sub-01_run-10_T2w.nii.gz" in said
    assert "--bids-filter-file" in said


def test_an_output_that_cannot_be_written_is_told(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may write anywhere")
    (place / "locked").mkdir(mode=0o500)
    assert run(("bids", "locked/out", "group")) == 2
    assert "cannot be written" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("bids", "out", "group", "--mem", "16"), 2, "16G or 500M"),
        (("bids", "out", "participant", "--recipe", "ct"), 2, "run the group level first"),
        (("bids", "out", "nothing"), 2, "expected participant or group"),
        ((), 2, "required"),
    ],
)
def test_the_same_through_the_installed_program(
    arguments: tuple[str, ...], code: int, words: str, place: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bids_synth", *arguments],
        capture_output=True, text=True, check=False, cwd=place,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
    )  # fmt: skip
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
