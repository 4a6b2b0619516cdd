"""Whole fit: what measuring takes of a fit of real participants at 1 mm by the recipe as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.real.people import MODALITIES, STUDIES, everybody
from benchmarks.trust.phantoms import spent

RECIPE = "impute"
VALIDATING = STUDIES["ms"]
"""Two of the five participants; the others teach, and nobody is left to test."""


def whole_fit(dataset: Path, out: Path) -> str:
    """One line: seconds of the fit, and of measuring intervals and limits; fitted once."""
    place, log = out / "whole-fit", out / "whole-fit.log"
    folder = place / "models" / RECIPE
    if not (folder / "summary.tsv").is_file():
        parts = {p: "validation" if p in VALIDATING else "training" for p in everybody()}
        rows = ["participant_id\tpart", *(f"sub-{p}\t{part}" for p, part in parts.items())]
        split = out / "whole-fit-split.tsv"
        split.write_text("\n".join(rows) + "\n")
        command = [sys.executable, "-m", "bids_synth", str(dataset), str(place), "group"]
        command += ["-w", str(out / "whole-fit-work"), "--recipe", RECIPE, "--device", "cpu"]
        command += ["--modalities", *MODALITIES, "--split-file", str(split)]
        with log.open("ab") as told:
            subprocess.run(command, check=True, stdout=told, stderr=told)
    seconds, measuring = spent(folder, log)
    return (
        f"A whole fit, `{RECIPE}` as it is on real participants at 1 mm, three to teach and two "
        f"to validate: {seconds:.0f} s of fitting, {measuring:.0f} s of measuring "
        f"({100 * measuring / seconds:.0f} %; bar: 10).\n"
    )
