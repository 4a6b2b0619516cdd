"""Write what the image is made of as a CycloneDX 1.6 bill of materials.

    python sbom.py FILE.json

Python distributions of the interpreter that runs this, with their licences, and the packages of
Debian beneath them. The same contents give the same file.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import quote

PACKAGE = "bids_synth"
LONGEST_LICENCE = 80
"""Characters; what is longer is the licence's whole text in the wrong field."""


def licences(distribution: Distribution) -> list[dict[str, object]]:
    """The licence as the distribution declares it: an expression, or names."""
    metadata = distribution.metadata
    expression = metadata.get("License-Expression")
    if expression:
        return [{"expression": expression}]
    classifiers = metadata.get_all("Classifier") or []
    names = [c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License :: ")]
    free = metadata.get("License", "").strip()
    if not names and free and len(free) <= LONGEST_LICENCE and "\n" not in free:
        names = [free]
    return [{"license": {"name": name}} for name in sorted(set(names))]


def python_components() -> Iterator[dict[str, object]]:
    """One component for each installed distribution."""
    for distribution in distributions():
        name = distribution.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        component: dict[str, object] = {
            "type": "library",
            "name": name,
            "version": distribution.version,
            "purl": f"pkg:pypi/{name}@{quote(distribution.version)}",
        }
        if found := licences(distribution):
            component["licenses"] = found
        yield component


def debian_components() -> Iterator[dict[str, object]]:
    """One component for each package of the base image."""
    tool = shutil.which("dpkg-query")
    if tool is None:
        return
    form = "${Package}\t${Version}\t${Architecture}\n"
    told = subprocess.run([tool, "-W", f"-f={form}"], capture_output=True, text=True, check=True)
    for line in told.stdout.splitlines():
        name, version, architecture = line.split("\t")
        yield {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}",
        }


def bill_of_materials() -> dict[str, object]:
    """The whole document."""
    found = {str(c["purl"]): c for c in (*python_components(), *debian_components())}
    components = [{**found[purl], "bom-ref": purl} for purl in sorted(found)]
    own = [c for c in components if c["name"] == PACKAGE.replace("_", "-")]
    identity = uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(sorted(found)))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{identity}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "name": PACKAGE,
                "version": own[0]["version"] if own else "unknown",
                "bom-ref": "image",
            }
        },
        "components": components,
    }


if __name__ == "__main__":
    document = bill_of_materials()
    Path(sys.argv[1]).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
