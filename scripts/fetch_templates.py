"""Fetch templates of TemplateFlow into a home that holds nothing else.

    python fetch_templates.py HOME TEMPLATE...

Only what `--output-spaces` reads: the T1w and the brain mask at 1 and 2 mm, and the description.
A template that cannot be fetched is left out whole with a message and is no failure: the program
carries one template of its own, and says at its start which others are there.
"""

from __future__ import annotations

import gzip
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path

SERVER = "https://templateflow.s3.amazonaws.com"
SECONDS = 60


def files_of(template: str) -> list[str]:
    """Names, below `tpl-<template>`, of the files to fetch."""
    images = [
        f"tpl-{template}_res-{resolution}_{what}.nii.gz"
        for resolution in ("01", "02")
        for what in ("T1w", "desc-brain_mask")
    ]
    return ["template_description.json", *images]


def fetch(template: str, home: Path) -> None:
    """All files of one template; OSError or EOFError leaves nothing of it behind."""
    folder = home / f"tpl-{template}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name in files_of(template):
            address = f"{SERVER}/{folder.name}/{name}"
            with urllib.request.urlopen(address, timeout=SECONDS) as answer:
                content = answer.read()
            if name.endswith(".gz"):
                gzip.decompress(content)
            (folder / name).write_bytes(content)
    except (OSError, EOFError):
        shutil.rmtree(folder)
        raise


def main(home: Path, templates: list[str]) -> None:
    """Fetch what can be fetched, and say what is there."""
    home.mkdir(parents=True, exist_ok=True)
    for template in templates:
        try:
            fetch(template, home)
        except (OSError, EOFError) as error:
            print(f"{template}: left out, it cannot be fetched ({error})")
        else:
            print(f"{template}: fetched into {home}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
