"""Build the image with buildah, which needs no daemon.

    python scripts/container/build.py TAG [--base IMAGE] [--torch cpu|cuda] [--target STAGE]

Where pip has a configuration of its own (an index, a folder of wheels, a certificate), it is lent
to the build: mounted while it runs, and in no layer of the image.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BASE = "python:3.11-slim-bookworm"


def pip_options() -> dict[str, str]:
    """What pip is told on this machine by its files and by the environment."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pairs = [line.partition("=") for line in told.splitlines()]
    found = {name: ast.literal_eval(value) for name, _, value in pairs}
    by_file = {n.removeprefix("global."): v for n, v in found.items() if n.startswith("global.")}
    by_variable = {n.removeprefix(":env:."): v for n, v in found.items() if n.startswith(":env:")}
    return by_file | by_variable


def lent(options: dict[str, str]) -> list[Path]:
    """Files and folders of this machine that the options name."""
    paths = set()
    for word in " ".join(options.values()).split():
        path = Path(word.removeprefix("file://"))
        if path.is_absolute() and path.exists():
            # An index by files names its wheels relative to itself, beside it.
            paths.add(path.parent if word.startswith("file://") else path)
    return sorted(paths)


def version() -> str:
    """The version of the package, read without importing it."""
    tree = ast.parse((ROOT / "bids_synth" / "__init__.py").read_text(encoding="utf-8"))
    values = {
        target.id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id == "__version__"
    }
    return str(values["__version__"])


def revision() -> str:
    """The commit of the checkout, or `unknown`."""
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def command(
    arguments: argparse.Namespace, options: dict[str, str], configuration: Path
) -> list[str]:
    """The call of buildah."""
    values = {
        "BASE": arguments.base,
        "TORCH": arguments.torch,
        "VERSION": version(),
        "REVISION": revision(),
        "CREATED": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    if arguments.cpu_wheels:
        values["CPU_WHEELS"] = arguments.cpu_wheels
    mounts = [(configuration, Path("/etc/pip.conf")), *((path, path) for path in lent(options))]
    return [
        *("buildah", "bud", "--isolation", "chroot", "--network", "host", "--layers"),
        *("--tag", arguments.tag, "--target", arguments.target),
        *(f"--build-arg={name}={value}" for name, value in values.items()),
        *(f"--volume={here}:{there}:ro" for here, there in mounts),
        str(ROOT),
    ]


def main() -> int:
    """Build, tell the size, and return buildah's exit code."""
    parser = argparse.ArgumentParser(description="Build the image with buildah")
    parser.add_argument("tag")
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--torch", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--cpu-wheels", default="", help="index of torch's CPU builds")
    parser.add_argument("--target", choices=("runtime", "test"), default="runtime")
    arguments = parser.parse_args()
    options = pip_options()
    lines = [f"{name} = {value}" for name, value in options.items()]
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "pip.conf"
        configuration.write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
        done = subprocess.run(command(arguments, options, configuration), check=False)
    if done.returncode == 0:
        subprocess.run(["buildah", "images", arguments.tag], check=False)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
