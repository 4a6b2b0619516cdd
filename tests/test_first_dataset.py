"""The commands of the page `First dataset in ten minutes`, in their order, and what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "first-dataset.md").read_text("utf-8")
COMMANDS = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SHOWN = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_has_commands_and_what_they_print() -> None:
    assert [command.split()[0] for command in COMMANDS] == ["python", *["bids_synth"] * 2, "ls"]
    assert len(SHOWN) == 2


@pytest.mark.slow
def test_the_commands_do_what_the_page_shows(tmp_path: Path) -> None:
    # The programs of this environment, by the names that the page uses.
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, words in {"python": "", "bids_synth": "-m bids_synth"}.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        program.chmod(0o755)
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    variables = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    printed = []
    for command in COMMANDS:
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout)
    assert SHOWN[0] in printed[1]
    files = [line.split()[0] for line in SHOWN[1].splitlines()]
    assert set(files) <= set(printed[3].split())
    assert (tmp_path / "out" / "sub-02.html").is_file()
