"""The wheel: what it weighs, what its page says, and that its program starts from it alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bids_synth import __version__
from bids_synth.recipe.recipe import recipe_names

pytest.importorskip("hatchling", reason="pip install 'bids_synth[test]'")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent
LARGEST = 12e6


def call(line: Sequence[str | Path], folder: Path, **variables: str) -> str:
    """What a command prints, run in a folder."""
    done = subprocess.run(
        [*map(str, line)],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder)
    call([sys.executable, "-m", "pip", "wheel", "--quiet", *options, ROOT], folder)
    return next(folder.glob("bids_synth-*.whl"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as content:
        name = next(n for n in content.namelist() if n.endswith(".dist-info/METADATA"))
        return message_from_bytes(content.read(name))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and with the packages of this one in place of a download."""
    folder = tmp_path_factory.mktemp("fresh")
    call([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], folder)
    python = folder / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    call([*pip, "--no-deps", "--no-index", wheel], folder)
    own = call([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder)
    shared = [path for path in sys.path if path.endswith("site-packages")]
    # After its own, so that the package is the wheel's; a .pth is read line by line.
    (Path(own.strip()) / "shared.pth").write_text("".join(f"{path}\n" for path in shared))
    return folder / "venv" / "bin"


def test_it_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < LARGEST


def test_it_holds_the_package_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
    assert {name.split("/")[0] for name in names} == {
        "bids_synth",
        f"bids_synth-{__version__}.dist-info",
    }
    assert "bids_synth/py.typed" in names
    assert any(name.endswith("models/any-contrast/model.json") for name in names)


def test_links_of_its_page_are_whole(metadata: Message) -> None:
    page = str(metadata.get_payload())
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert len(links) > 15
    assert [link for link in links if urlsplit(link).scheme != "https"] == []
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL"))
    assert {"Documentation", "Repository"} <= set(urls)
    assert all(link.startswith(urls["Repository"]) for link in links)
    for link in links:
        path = re.sub(r"^/(blob|raw)/main/", "", link.removeprefix(urls["Repository"]))
        assert (ROOT / path.partition("#")[0]).exists(), path


def test_nothing_is_pinned_and_everything_has_a_lowest_version(metadata: Message) -> None:
    lines = [line for line in metadata.get_all("Requires-Dist") if "extra" not in line]
    assert len(lines) > 20
    assert [line for line in lines if "==" in line or ">=" not in line] == []


def test_its_program_starts_in_a_fresh_environment(installed: Path, tmp_path: Path) -> None:
    clean = {"PYTHONPATH": "", "HOME": str(tmp_path)}
    where = "import bids_synth; print(bids_synth.__file__)"
    assert call([installed / "python", "-c", where], tmp_path, **clean).startswith(
        str(installed.parent)
    )
    program = installed / "bids_synth"
    assert call([program, "--version"], tmp_path, **clean) == f"bids_synth v{__version__}\n"
    listed = call([program, "--list-recipes"], tmp_path, **clean)
    assert set(re.findall(r"^(\S+): ", listed, re.MULTILINE)) == set(recipe_names())
    assert "any-contrast: " in call([program, "--list-models"], tmp_path, **clean)


def test_it_plans_and_writes_a_methods_text(installed: Path, tmp_path: Path) -> None:
    clean = {"PYTHONPATH": "", "HOME": str(tmp_path)}
    demo = ("--participants", "2", "--resolution", "4", "--modalities", "T1w", "T2w")
    call([installed / "python", "-m", "bids_synth.demo", "bids", *demo], tmp_path, **clean)
    job = (installed / "bids_synth", "bids", "out", "participant")
    assert "synthesise" in call([*job, "--dry-run"], tmp_path, **clean)
    call([*job, "--boilerplate-only"], tmp_path, **clean)
    assert (tmp_path / "out" / "logs" / "CITATION.bib").is_file()
