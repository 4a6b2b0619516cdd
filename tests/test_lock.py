"""The locks: every pin has its hashes, every declared dependency has its pin, builds agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted(ROOT.glob("requirements*.lock"))
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def pins(*names: str) -> dict[str, str]:
    """Name -> version of what the locks pin."""
    found = {}
    for name in names:
        text = (ROOT / f"requirements{name}.lock").read_text(encoding="utf-8")
        found |= dict(re.findall(r"^([a-z0-9-]+)==([^ \n]+)", text, flags=re.MULTILINE))
    return found


def declared(extra: str | None = None) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return [Requirement(line) for line in lines]


def test_there_is_a_lock_for_every_purpose() -> None:
    names = {path.name.removeprefix("requirements").removesuffix(".lock") for path in LOCKS}
    assert names == {"", "-test", "-build", "-torch-cpu", "-torch-cuda"}


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_pin_has_a_hash(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ ", entry), entry[:80]
        assert HASH.search(entry), entry[:80]


@pytest.mark.parametrize(
    ("extra", "locks"),
    [
        (None, ("", "-torch-cpu")),
        ("fit", ("",)),
        ("docs", ("-test", "")),
        ("test", ("-test", "")),
    ],
)
def test_what_is_declared_is_pinned_within_its_range(
    extra: str | None, locks: tuple[str, ...]
) -> None:
    known = pins(*locks)
    for requirement in declared(extra):
        version = known[canonicalize_name(requirement.name)].partition("+")[0]
        assert requirement.specifier.contains(version), f"{requirement}: the lock has {version}"


def test_both_builds_of_torch_are_one_version() -> None:
    assert pins("-torch-cpu")["torch"].partition("+")[0] == pins("-torch-cuda")["torch"]
    assert not set(pins("-torch-cuda")) & set(pins("")), "pinned twice"


def test_the_image_installs_nothing_without_its_hash() -> None:
    recipe = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    calls = re.findall(r"pip [^&\n]*install [^&\n]*", recipe)
    assert len(calls) >= 5
    unlocked = [call for call in calls if "--require-hashes" not in call]
    assert all("--no-index" in call for call in unlocked), unlocked
