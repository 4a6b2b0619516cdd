"""Phantoms: the five tasks fitted by the program, with participants that validate and test."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from bids_synth.demo.dataset import make_demo
from bids_synth.evaluate.trust.evidence import RULES
from bids_synth.learn.model.model import load_model

PARTICIPANTS, TESTED, VALIDATING = 18, 6, 5
RESOLUTION, SPACING, SEED = 2.4, 3.0, 11
MODALITIES = (
    *("T1w", "T2w", "PDw", "FLAIR", "ct", "pet"),
    *("cbf", "cbv", "T2map", "T2starmap", "cmro2"),
)
_SMALL = {"network.filters": "8", "fit.patch": "[32,32,32]", "fit.batch": "2"}


@dataclass(frozen=True)
class Fit:
    """A recipe as it is fitted here, in minutes."""

    recipe: str
    task: str
    steps: int
    values: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """Options of the program."""
        values = {
            "grid.spacing": f"{SPACING:g}",
            "preparation.registration_spacing": f"{SPACING:g}",
            "synthesis.overlap": "0.25",
            "fit.steps": str(self.steps),
            "fit.steps_per_epoch": str(self.steps // 3),
            **self.values,
        }
        sets = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
        return ["--recipe", self.recipe, *self.options, *sets]


FITS = (
    Fit("impute", "any-missing T1w/T2w/PDw", 3000, {"evaluation.scenarios": "all"},
        ("--modalities", "T1w", "T2w", "PDw")),
    Fit("cyclegan-structure", "unpaired T1w<->T2w", 200,
        {"network.filters": "8", "fit.patch": "[24,24,24]", "fit.members": "1"}),
    Fit("ct", "T1w to CT", 400, _SMALL),
    Fit("pet", "T1w to PET", 400, _SMALL),
    Fit("cmro2", "quantitative maps to CMRO2", 400, _SMALL),
)  # fmt: skip


def dataset(out: Path) -> Path:
    """The phantoms."""
    folder = out / "phantoms"
    if not folder.is_dir():
        make_demo(
            folder,
            participants=PARTICIPANTS,
            resolution=RESOLUTION,
            modalities=MODALITIES,
            seed=SEED,
        )
    return folder


def split(out: Path) -> Path:
    """Who tests, validates and teaches."""
    people = [f"sub-{n + 1:02d}" for n in range(PARTICIPANTS)]
    order = np.random.default_rng(0).permutation(PARTICIPANTS)
    parts = ["test"] * TESTED + ["validation"] * VALIDATING
    parts += ["training"] * (PARTICIPANTS - len(parts))
    rows = sorted(f"{people[k]}\t{part}" for k, part in zip(order, parts, strict=True))
    path = out / "split.tsv"
    path.write_text("\n".join(["participant_id\tpart", *rows]) + "\n")
    return path


def tested(out: Path) -> list[str]:
    """Labels of those who test."""
    table = pd.read_csv(out / "split.tsv", sep="\t")
    return sorted(table.loc[table["part"] == "test", "participant_id"].str.removeprefix("sub-"))


def fit(one: Fit, out: Path) -> Path:
    """The model folder; what an earlier call has fitted and scored is taken over."""
    folder = out / f"out-{one.recipe}" / "models" / one.recipe
    if (folder / "summary.tsv").is_file() and load_model(folder).card.evidence == RULES:
        return folder
    words = ["phantoms", f"out-{one.recipe}", "group", "-w", "work", "--split-file", "split.tsv"]
    command = [sys.executable, "-m", "bids_synth", *words, *one.words, "--device", "cpu"]
    with (out / f"{one.recipe}.log").open("ab") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log, cwd=out)
    return folder


def spent(folder: Path, log: Path) -> tuple[float, float]:
    """Seconds of a fit, and of measuring intervals and limits, as the program told them."""
    curve = pd.read_csv(folder / "training.tsv", sep="\t", na_values=["n/a"])
    told = re.findall(r"limits are measured in ([\d.]+) s", log.read_text("utf-8"))
    return float(curve["seconds"].sum()), float(told[-1]) if told else float("nan")
