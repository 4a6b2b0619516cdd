"""The image built and run for real: no network, read-only root, any user, no HOME.

Needs buildah, podman, runc and debootstrap (`scripts/container/install_tools.sh`), or an image in
BIDS_SYNTH_IMAGE; BIDS_SYNTH_ENGINE runs it with something else than podman.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_lock import pins

from bids_synth import __version__

pytestmark = [pytest.mark.slow, pytest.mark.container]
ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts" / "container"
EXPECTED = Path(__file__).with_name("container_outputs.txt")
VALIDATOR = Path(sys.executable).with_name("bids-validator-deno")
TOOLS = ("buildah", "podman", "runc", "debootstrap")
ENGINE = shlex.split(os.environ.get("BIDS_SYNTH_ENGINE", "podman --runtime runc"))
BASE = "localhost/bids_synth-base:bookworm"
IMAGE = "localhost/bids_synth:smoke"
PROGRAM = "/opt/bids_synth/bin/bids_synth"
LOCKED = (
    *("--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--user", "12345:12345"),
    *("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"),
)
QUICK = ("--sloppy", "--set", "grid.spacing=6", "--set", "fit.test=0.2", "--set", "fit.steps=4")
LARGEST = 3e9


def call(*words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    if check and done.returncode:
        pytest.fail(f"{shlex.join(map(str, words))}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done


@pytest.fixture(scope="module")
def image() -> str:
    """The name of the image: given, or built here from a base made of Debian's packages."""
    if given := os.environ.get("BIDS_SYNTH_IMAGE"):
        return given
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(
            f"not there: {', '.join(missing)}; scripts/container/install_tools.sh has them"
        )
    if os.geteuid() != 0:
        pytest.skip("debootstrap needs root")
    if call("podman", "image", "exists", BASE, check=False).returncode:
        made = call(SCRIPTS / "debian_base.sh", BASE, check=False)
        if made.returncode:
            pytest.skip(f"no base image, Debian's mirror cannot be used: {made.stderr[-300:]}")
    call(sys.executable, SCRIPTS / "build.py", IMAGE, "--base", BASE)
    return IMAGE


def run(
    image: str, *words: object, options: tuple[object, ...] = (), check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run the image as a careful cluster would."""
    return call(*ENGINE, "run", *LOCKED, *options, image, *words, check=check)


def shell(image: str, line: str) -> str:
    """What a line of shell prints inside the image."""
    return run(image, "-c", line, options=("--entrypoint", "/bin/sh")).stdout


@pytest.fixture(scope="module")
def inspected(image: str) -> dict[str, object]:
    return json.loads(call(*ENGINE, "image", "inspect", image).stdout)[0]


@pytest.fixture(scope="module")
def place(image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which demo, group and participant have run inside the container."""
    folder = tmp_path_factory.mktemp("data")
    folder.chmod(0o777)
    mount = ("-v", f"{folder}:/data")
    demo = ("-m", "bids_synth.demo", "/data/bids", "--participants", 6, "--resolution", 4)
    python = "/opt/bids_synth/bin/python"
    run(image, *demo, "--seed", 3, options=(*mount, "--entrypoint", python))
    job = ("/data/bids", "/data/out")
    nowhere = (*mount, "--env", "HOME=/nowhere")
    run(image, *job, "group", "-w", "/data/work", *QUICK, options=nowhere)
    # podman always sets HOME; a scheduler that starts the program need not.
    homeless = ("-u", "HOME", PROGRAM, *job, "participant", "-w", "/data/work")
    run(image, *homeless, options=(*mount, "--entrypoint", "/usr/bin/env"))
    return folder


def outputs(folder: Path) -> list[str]:
    """Every file below a folder, run identifiers and times of events masked."""
    names = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    masked = (re.sub(r"\d{8}-\d{6}_[0-9a-f]{8}", "<run>", name) for name in names)
    return sorted({re.sub(r"(tfevents)\..*", r"\1.<time>", name) for name in masked})


def test_version_is_the_packages(image: str) -> None:
    assert run(image, "--version").stdout == f"bids_synth v{__version__}\n"


def test_labels_and_entry_point(inspected: dict[str, object]) -> None:
    config = inspected["Config"]
    labels = {k.removeprefix("org.opencontainers.image."): v for k, v in config["Labels"].items()}
    assert labels["title"] == "bids_synth"
    assert labels["version"] == __version__
    assert labels["licenses"] == "Apache-2.0"
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels["revision"])
    assert config["Entrypoint"] == [PROGRAM]


def test_size(inspected: dict[str, object]) -> None:
    assert 0 < inspected["Size"] < LARGEST, f"{inspected['Size'] / 1e9:.2f} GB"


def test_no_compiler_cache_or_test_data(image: str) -> None:
    for tool in ("gcc", "cc", "g++", "clang", "make", "git", "debootstrap"):
        assert not shell(image, f"command -v {tool} || true"), tool
    own = "find /opt /root/.cache /build /src -xdev 2>/dev/null"
    assert not shell(image, rf"{own} -name tests -o -name testdata -o -name '*.whl' || true")
    assert shell(image, "ls /opt").split() == ["bids_synth", "templateflow"]
    assert not shell(image, "ls /opt/bids_synth/bin | grep -x pip || true")


def test_the_bill_of_materials_lists_what_the_locks_pin(image: str) -> None:
    bill = json.loads(shell(image, "cat /opt/bids_synth/sbom.cdx.json"))
    assert bill["bomFormat"] == "CycloneDX"
    listed = {c["name"]: c["version"] for c in bill["components"] if "pkg:pypi" in c["purl"]}
    installed = {**pins("", "-torch-cpu"), "bids-synth": __version__}
    assert listed == installed
    debian = [c["purl"] for c in bill["components"] if "pkg:deb" in c["purl"]]
    assert len(debian) == int(shell(image, "dpkg-query -W | wc -l")) > 50


def test_what_is_written_is_the_list(place: Path) -> None:
    expected = EXPECTED.read_text(encoding="utf-8").split("\n")[:-1]
    assert outputs(place / "out") == expected


def test_the_output_satisfies_the_validator(place: Path) -> None:
    call(VALIDATOR, place / "out")


def test_everything_else_went_into_the_work_directory(place: Path) -> None:
    assert {path.name for path in place.iterdir()} == {"bids", "out", "work"}
    assert (place / "work" / "cache").is_dir()


def test_a_template_that_is_absent_is_told_at_once(image: str, place: Path) -> None:
    job = ("/data/bids", "/data/other", "participant", "-w", "/tmp/work", "--output-spaces", "Toy")
    done = run(image, *job, options=("-v", f"{place}:/data"), check=False)
    assert done.returncode == 2
    assert "Toy: is not on this machine" in done.stderr
    assert "/opt/templateflow/tpl-Toy" in done.stderr
    assert "Traceback" not in done.stderr


def test_templates_from_outside_are_honoured(image: str, place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tpl-Toy"
    folder.mkdir()
    tmp_path.chmod(0o755)  # pytest's own folders are closed to the container's user.
    for what in ("T1w", "desc-brain_mask"):
        (folder / f"tpl-Toy_res-01_{what}.nii.gz").write_bytes(b"not read by a dry run")
    outside = ("-v", f"{tmp_path}:/elsewhere:ro", "--env", "TEMPLATEFLOW_HOME=/elsewhere")
    job = ("/data/bids", "/data/out", "participant", "-w", "/tmp/work", "--output-spaces", "Toy")
    run(image, *job, "--dry-run", options=("-v", f"{place}:/data", *outside))
