"""The two external tools for skull stripping, used where they are installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from bids_synth.core.settings import SkullStrip
from bids_synth.errors import UsageError, VisitError
from bids_synth.spatial.volume import Volume, read_mask

COMMANDS = {
    "synthstrip": ("mri_synthstrip", "nipreps-synthstrip", "synthstrip"),
    "hd-bet": ("hd-bet",),
}
"""Option -> executables that serve it, in order of preference."""


def check_skull_strip(option: SkullStrip) -> None:
    """Raise UsageError where the option's tool is not installed; before any work starts."""
    if option in COMMANDS and _executable(option) is None:
        names = " or ".join(COMMANDS[option])
        message = (
            f"--skull-strip {option}: found no {names} on the PATH; install it, or use "
            "--skull-strip template"
        )
        raise UsageError(message)


def strip_with_tool(scan: Path, option: SkullStrip) -> Volume:
    """The brain mask that an external tool finds in a scan, uint8 on the scan's grid."""
    check_skull_strip(option)
    with tempfile.TemporaryDirectory() as folder:
        mask = Path(folder) / "brain_mask.nii.gz"
        command = [str(_executable(option)), "-i", str(scan)]
        if option == "synthstrip":
            command += ["-o", f"{folder}/brain.nii.gz", "-m", str(mask)]
        else:
            # HD-BET writes the mask beside the brain, as <name>_bet.nii.gz.
            command += ["-o", f"{folder}/brain.nii.gz", "-device", "cpu", "--save_bet_mask"]
            mask = Path(folder) / "brain_bet.nii.gz"
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0 or not mask.exists():
            words = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
            message = f"{scan}: {Path(command[0]).name} found no brain ({words[0]})"
            raise VisitError(message)
        return read_mask(mask)


def _executable(option: str) -> str | None:
    return next((path for name in COMMANDS[option] if (path := shutil.which(name))), None)
