"""Write requirements.lock and requirements-test.lock from the environment that runs this.

Every distribution that the package needs, directly or not, pinned to the version installed.
torch is pinned without its build label, so that each platform takes its own build.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "bids_synth"


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


def main() -> None:
    """Write both files at the top of the repository."""
    declared = [Requirement(text) for text in distribution(PACKAGE).requires or []]
    runtime = closure(declared, frozenset())
    everything = closure(declared, frozenset({"test"}))
    header = "# Written by `python scripts/lock.py`; do not edit.\n"
    extra = {name: version for name, version in everything.items() if name not in runtime}
    for path, pins, first in (
        ("requirements.lock", runtime, ""),
        ("requirements-test.lock", extra, "-r requirements.lock\n"),
    ):
        lines = "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))
        (ROOT / path).write_text(header + first + lines, encoding="utf-8")
        print(f"{path}: {len(pins)} pins")


if __name__ == "__main__":
    main()
