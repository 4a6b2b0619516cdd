"""Write the requirements*.lock files: what is installed here, pinned, with the hash of each file.

The versions are those of the environment that runs this; the hashes are those that the registry
gives for every file of a version, so that a lock serves every platform. torch is apart, since
each build of it has files of its own: `cpu` from PyTorch's index, `cuda` from the registry with
the libraries that it asks for. Needs `uv`, which resolves without downloading.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "bids_synth"
HEADER = "# Written by `python scripts/lock.py`; do not edit.\n"
BUILD = ("hatchling==1.33.0", "hatch-fancy-pypi-readme==25.1.0")
"""The build backend of pyproject.toml."""
PLATFORM = ("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28")


def closure(requirements: Iterable[Requirement], extras: frozenset[str]) -> dict[str, str]:
    """Name -> version of everything reachable from `requirements`."""
    found: dict[str, str] = {}
    queue = [(requirement, extras) for requirement in requirements]
    while queue:
        requirement, asked = queue.pop()
        if requirement.marker and not any(
            requirement.marker.evaluate({"extra": extra}) for extra in {"", *asked}
        ):
            continue
        name = canonicalize_name(requirement.name)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        if name in found and not requirement.extras:
            continue
        found[name] = installed.version.partition("+")[0]
        wanted = frozenset(requirement.extras)
        queue += [(Requirement(text), wanted) for text in installed.requires or []]
    return found


def resolve(requirements: Iterable[str], *options: str) -> str:
    """The requirements pinned, with hashes, as the registry has them."""
    uv = shutil.which("uv")
    if uv is None:
        sys.exit("lock.py: uv is not there; `pip install uv` beside this environment, on the PATH")
    command = [
        uv,
        "pip",
        "compile",
        "--quiet",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
    ]
    text = "\n".join(requirements)
    done = subprocess.run([*command, *options, "-"], input=text, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"lock.py: uv failed: {done.stderr.strip()}")
    return done.stdout


def pinned(pins: Mapping[str, str]) -> list[str]:
    """Requirements of exactly these versions."""
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


def cuda_build(torch: str, others: Mapping[str, str]) -> str:
    """torch as the registry has it, and what it needs besides `others`."""
    everything = resolve([f"torch=={torch}", *pinned(others)], *PLATFORM)
    entries = re.split(r"\n(?=\S)", everything.strip())
    return "".join(f"{entry}\n" for entry in entries if entry.partition("==")[0] not in others)


def cpu_build(torch: str, wheels: str) -> str:
    """torch for CPU, from an index or from a folder of wheels."""
    pin = f"torch=={torch}+cpu"
    if "://" in wheels:
        return resolve([pin], "--no-deps", *PLATFORM, "--index", wheels)
    files = sorted(Path(wheels).glob(f"torch-{torch}+cpu-*.whl"))
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return pin + "".join(f" \\\n    --hash=sha256:{digest}" for digest in hashes) + "\n"


def write(name: str, text: str) -> None:
    """Write one lock at the top of the repository."""
    (ROOT / name).write_text(HEADER + text, encoding="utf-8")
    print(f"{name}: {text.count('==')} pins")


def main() -> None:
    """Write every lock."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--cpu-wheels", required=True, help="index or folder of torch for CPU")
    wheels = parser.parse_args().cpu_wheels
    declared = [Requirement(text) for text in distribution(PACKAGE).requires or []]
    runtime = closure(declared, frozenset({"fit"}))
    everything = closure(declared, frozenset({"fit", "test", "docs"}))
    extra = {name: version for name, version in everything.items() if name not in runtime}
    torch = runtime.pop("torch")
    write("requirements.lock", resolve(pinned(runtime), "--no-deps"))
    write("requirements-test.lock", resolve(pinned(extra), "--no-deps"))
    write("requirements-build.lock", resolve(BUILD, *PLATFORM))
    write("requirements-torch-cpu.lock", cpu_build(torch, wheels))
    write("requirements-torch-cuda.lock", cuda_build(torch, runtime))


if __name__ == "__main__":
    main()
