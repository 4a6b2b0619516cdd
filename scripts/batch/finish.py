"""Make an output fit to publish: it names its source by address and no place of this machine.

    finish.py --check ADDRESS
    finish.py OUTPUT ADDRESS COMMIT LOG [PATH ...]

Moves the logs of single runs, which tell of this machine, from OUTPUT to LOG; names ADDRESS and
COMMIT in dataset_description.json; then looks for links out of OUTPUT and for its own path or one
of PATH in every text file. Ends with 1 where it finds any, each on a line.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit


def public(address: str) -> str:
    """An https address without name and password; ValueError for anything else."""
    parts = urlsplit(address)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        message = f"{address}: is no https address by which others find the source; give ADDRESS"
        raise ValueError(message)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def move_logs(output: Path, log: Path) -> None:
    """Take run files and logs out of an output; the methods text stays."""
    for entry in sorted((output / "logs").glob("*")):
        if entry.stem != "CITATION":
            shutil.move(entry, log / entry.name)


def name_source(output: Path, address: str, commit: str) -> None:
    """Link the raw dataset by its address, in place of where its clone lay."""
    path = output / "dataset_description.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    clone = description["DatasetLinks"]["raw"]
    description["DatasetLinks"]["raw"] = address
    for source in description["SourceDatasets"]:
        if source["URL"] == clone:
            source |= {"URL": address, "Version": commit}
    part = path.with_name(".dataset_description.part")
    part.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def faults(output: Path, places: Sequence[str]) -> Iterator[str]:
    """What of an output only this machine understands."""
    for folder, folders, files in os.walk(output):
        folders[:] = [name for name in folders if name != ".git"]
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(output.resolve()):
                yield f"{path}: is a link to {path.readlink()}; put a file there"
            elif path.is_file():
                text = path.read_bytes()
                named = [place for place in places if place.encode() in text]
                yield from (f"{path}: names {place}, a place of this machine" for place in named)


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    try:
        address = public(arguments[1])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments[0] == "--check":
        return 0
    output, log = Path(arguments[0]), Path(arguments[3])
    move_logs(output, log)
    name_source(output, address, arguments[2])
    found = list(faults(output, [str(output), *arguments[4:]]))
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
