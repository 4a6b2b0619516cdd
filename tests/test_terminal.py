"""What a user sees: colours, progress, one log, nothing left of a refused run, completion."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from bids_fixtures import make_dataset
from faults_house import light_steps, make_house

from bids_synth.cli.main import run_command
from bids_synth.cli.parser import build_parser
from bids_synth.core.modality import MODALITIES
from bids_synth.recipe.recipe import recipe_names

PROGRAM = [sys.executable, "-m", "bids_synth"]
COLOUR = re.compile(r"\x1b\[\d+m")
PEOPLE = tuple(f"sub-{p}/anat/sub-{p}_T1w.nii.gz" for p in ("01", "02", "ms07"))


def on_a_terminal(*words: str, cwd: Path, **environment: str) -> tuple[int, str]:
    """Exit code and all that a terminal of 100 columns is sent."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        own = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        os.execve(words[0], list(words), own | {"TERM": "xterm"} | environment)
    seen = b""
    while select.select([fd], [], [], 200)[0]:
        try:
            part = os.read(fd, 65536)
        except OSError:  # The other end is closed.
            break
        if not part:
            break
        seen += part
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(fd)
    return code, seen.decode(errors="replace").replace("\r\n", "\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_dataset(tmp_path / "bids", *PEOPLE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_terminal_has_colours_and_nothing_else_has(place: Path) -> None:
    line = [*PROGRAM, "bids", "out", "participant", "--recipe", "imput"]
    code, seen = on_a_terminal(*line, cwd=place)
    assert code == 2
    assert COLOUR.search(seen)
    assert "did you mean impute?" in seen
    for unwanted in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert not COLOUR.search(on_a_terminal(*line, cwd=place, **unwanted)[1])
    piped = subprocess.run(line, capture_output=True, text=True, check=False, cwd=place)
    assert not COLOUR.search(piped.stderr)
    assert COLOUR.sub("", seen) == piped.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("group", "--device", "cuda:99", "-m", "T1w", "T2w"),
        ("group", "--mem", "1M", "-m", "T1w", "T2w"),
        ("group", "--split-file", "bids/participants.tsv", "-m", "T1w", "T2w"),
        ("group", "-m", "T1w", "PDw"),
        ("participant", "--device", "cuda:99"),
        ("participant", "--recipe", "ct"),
        ("participant", "--participant-label", "3"),
        ("participant", "--skull-strip", "synthstrip"),
        ("participant", "--set", "fit=3"),
    ],
)
def test_a_refused_run_leaves_nothing_behind(
    words: tuple[str, ...], place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs = [f"sub-{p}/anat/sub-{p}_{m}.nii.gz" for p in "abcd" for m in ("T1w", "T2w")]
    make_dataset(place / "bids", *pairs)
    (place / "bids/participants.tsv").write_text("participant_id\tage\nsub-a\t1\n")
    line = [*PROGRAM, "bids", "new/out", *words, "-w", "other/work"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in place.iterdir()] == ["bids"]


def test_a_plan_refuses_what_the_run_refuses(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs = [f"sub-{p}/anat/sub-{p}_{m}.nii.gz" for p in "abcd" for m in ("T1w", "T2w")]
    make_dataset(place / "bids", *pairs)
    for words in (
        ("group", "--device", "cuda:99", "-m", "T1w", "T2w"),
        ("group", "--mem", "1M", "-m", "T1w", "T2w"),
        ("group", "--tune", "2", "--recipe", "mmgan", "-m", "T1w", "T2w"),
        ("participant", "--recipe", "ct"),
        ("participant", "--device", "cuda:99"),
    ):
        line = ["bids", "out", *words, "-w", "work"]
        capfd.readouterr()
        codes = [run_command(line), run_command([*line, "--dry-run"])]
        shown = capfd.readouterr()
        assert codes == [2, 2], words
        reason = shown.err.strip().splitlines()[-1] if words[0] == "participant" else ""
        assert "the run would not start: " in shown.out, reason
    assert [path.name for path in place.iterdir()] == ["bids"]


SLIPS = (
    ("group", "--set", "fit=3"),
    ("group", "--set", "network=3"),
    ("group", "--set", "network.name=contxt"),
    ("group", "--set", "objective={}"),
    ("group", "--set", "modalities=T1w"),
    ("group", "--set", "modalities.T1w=foo"),
    ("group", "--set", "tune=3"),
    ("group", "--set", "fit.patch=3"),
    ("group", "--set", "fit.patch={a=1}"),
    ("group", "--set", 'preparation.reference=["T8w"]'),
    ("group", "--set", "evaluation.ablate=[['T8w']]"),
    ("group", "--set", "extras.scalars={age=3}"),
    ("participant", "-m", "T2w"),
    ("participant", "-m", "T9w", "T1w"),
    ("participant", "--model", "any-contras"),
    ("participant", "--output-spaces", "MNI152NLin2009aSyn"),
)


@pytest.mark.parametrize("words", SLIPS, ids=lambda words: " ".join(words[1:]))
def test_a_slip_shows_nothing_of_the_program_s_inside(
    words: tuple[str, ...], place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["bids", "out", *words, "-w", "work"]) == 2
    told = capfd.readouterr().err
    for inside in ("{'", "['", "Part", "dictionary", "Input", "Traceback", "pydantic", "instance"):
        assert inside not in told, told


def test_all_faults_of_a_line_are_told_at_once(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--recipe", "imput", "--skull-strip", "templat", "--nprocs", "x", "--mem", "3"]
    more = ["--participant-label", "1", "ms7", "--folds", "2", "--colur", "--session-label", "a"]
    assert run_command(["bids", "out", "participant", *words, *more, "-w", "bids/w"]) == 2
    told = capfd.readouterr().err
    for fault in (
        "did you mean impute?",
        "--skull-strip templat: expected auto, network",
        "did you mean template?",
        "--nprocs x: expected a whole number",
        "--mem 3: expected a number with a unit",
        "did you mean 01?",
        "did you mean ms07?",
        "--folds: is for group",
        "unrecognized arguments: --colur",
        "--session-label: ",
        "lies inside the dataset",
    ):
        assert fault in told
    assert "usage:" not in told


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_house(tmp_path_factory.mktemp("terminal") / "house")


def fill(house: Path, folder: Path, *words: str) -> Path:
    own = shutil.copytree(house, folder)
    line = [own / "bids", own / "out", "participant", "-w", own / "work", "--nprocs", "1", *words]
    with light_steps():
        assert run_command([str(word) for word in line]) == 0
    return own


def test_the_log_tells_banner_steps_checks_and_the_end(
    house: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = fill(house, tmp_path / "usual")
    shown = capfd.readouterr()
    (log,) = (own / "out/logs").glob("*.log")
    lines = log.read_text(encoding="utf-8").splitlines()
    run = log.name.removeprefix("bids_synth-").removesuffix(".log")
    assert f"participant, run {run}" in lines[0]
    assert "command: bids_synth " in lines[1]
    assert "seed 1" in "".join(lines[:8])
    assert "torch 2" in "".join(lines[:8])
    for told in ("step region is done in", "step resample_T1w is done", ": fail", "expected"):
        assert any(told in line for line in lines), told
    assert re.search(r"the end, after .* with exit code 0$", lines[-1])
    made = [line for line in shown.out.splitlines() if line.startswith("sub-")]
    assert len(made) == 2
    assert all((shown.out + shown.err).count(line) == 1 for line in made), "told twice"
    assert "2 images of 2 visits: 2 fail" in shown.out
    assert re.search(r"done in \d+ s; log: ", shown.err)


def test_quiet_says_the_end_and_verbose_the_steps(
    house: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(house, tmp_path / "quiet", "--quiet")
    quiet = capfd.readouterr()
    fill(house, tmp_path / "verbose", "-v")
    loud = capfd.readouterr()
    assert "2 images of 2 visits" in quiet.out
    assert "preparing" not in quiet.err
    assert "step region is done" in loud.err
    assert "nipype" not in loud.err.partition("preparing")[2]
    fill(house, tmp_path / "all", "-vv")
    assert "Running serially" in capfd.readouterr().err


@pytest.mark.slow
def test_progress_is_drawn_on_a_terminal_and_the_lines_stay_whole(
    house: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); "
        "from faults_house import light_steps; from bids_synth.cli.main import run_command\n"
        "with light_steps(): sys.exit(run_command(sys.argv[1:]))"
    )
    own = shutil.copytree(house, tmp_path / "house")
    words = [str(own / "bids"), str(own / "out"), "participant", "-w", str(own / "work")]
    tests = str(Path(__file__).parent)
    line = [sys.executable, "-c", code, tests, *words, "--nprocs", "1"]
    ended, seen = on_a_terminal(*line, cwd=tmp_path)
    assert ended == 0, seen
    assert re.search(r"preparing \|.*left\]", seen)
    assert re.search(r"synthesising \|.*left\]", seen)
    assert COLOUR.sub("", seen).count("T2w from T1w: fail") == 2
    _, quiet = on_a_terminal(*line, "--overwrite", "--quiet", cwd=tmp_path)
    assert "left]" not in quiet


def test_a_reader_who_has_enough_ends_it_without_a_word(place: Path) -> None:
    for option in ("--list-recipes", "--help", "--print-completion bash"):
        line = f"{sys.executable} -m bids_synth {option} | head -n 1"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert done.stderr == ""
        assert done.stdout.count("\n") == 1


def script(shell: str, folder: Path) -> Path:
    path = folder / f"completion.{shell}"
    line = [*PROGRAM, "--print-completion", shell]
    path.write_text(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
    return path


OFFERED = (
    (("--rec",), {"--recipe"}),
    (("bids", "out", "part"), {"participant"}),
    (("bids", "out", "participant", "--recipe", "cyc"), {"cyclegan", "cyclegan-structure"}),
    (("bids", "out", "participant", "--participant-label", "m"), {"ms07"}),
    (("bids", "out", "participant", "-m", "FL"), {"FLAIR"}),
    (("bids", "out", "group", "--skull-strip", "te"), {"template"}),
)
BASH = """\
source "$1"; shift
COMP_WORDS=(bids_synth "$@"); COMP_CWORD=$#; COMP_LINE="bids_synth $*"; COMP_POINT=${#COMP_LINE}
$(complete -p bids_synth | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


def needs(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"no {shell} here")
    return found


@pytest.mark.parametrize(("words", "offered"), OFFERED)
def test_bash_offers_what_the_parser_has(
    words: tuple[str, ...], offered: set[str], place: Path
) -> None:
    path = script("bash", place)
    line = [needs("bash"), "--norc", "-c", BASH, "bash", str(path), *words]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == offered, done.stderr


@pytest.mark.parametrize(("words", "offered"), OFFERED)
def test_fish_offers_what_the_parser_has(
    words: tuple[str, ...], offered: set[str], place: Path
) -> None:
    path = script("fish", place)
    code = f'source {path}; complete -C "bids_synth {" ".join(words)}"'
    line = [needs("fish"), "--no-config", "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert {row.split("\t")[0] for row in done.stdout.splitlines()} == offered, done.stderr


def test_zsh_accepts_its_script_and_knows_every_option(place: Path) -> None:
    path = script("zsh", place)
    subprocess.run([needs("zsh"), "-n", str(path)], check=True)
    text = path.read_text()
    assert text.startswith("#compdef bids_synth\n")
    shown = [s for a in build_parser()._actions for s in a.option_strings if "_" not in s]
    first = {s for s in shown if s.startswith("--")} - {"--session-id", "--nthreads", "--n-cpus"}
    first -= {"--n-procs", "--ants-nthreads", "--nipype-plugin-file", "--mem-mb"}
    assert [s for s in first if s not in text] == []
    assert all(name in text for name in (*recipe_names(), *MODALITIES))


def test_help_has_examples_that_parse_and_no_wall_of_options() -> None:
    page = build_parser().format_help()
    assert page.startswith("usage: bids_synth bids_dir output_dir {participant,group} [options]\n")
    examples = [
        line.split()[1:] for line in page.splitlines() if line.startswith("    bids_synth")
    ]
    assert len(examples) >= 5
    parser = build_parser()
    for words in examples:
        parser.parse_args(words)
        assert parser.faults == []
