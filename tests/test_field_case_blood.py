"""The field case of blood figures as fractions, through the command line as its note says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bids_synth.cli.main import run_command
from bids_synth.demo.dataset import make_demo
from bids_synth.spatial.volume import read_volume

CASE = Path(__file__).resolve().parents[2] / "shared/cases/blood-figures-as-fractions/bids"
MAPS = ("T1w", "cbf", "cbv", "T2map", "T2starmap", "cmro2")


@pytest.mark.slow
@pytest.mark.skipif(not CASE.is_dir(), reason=f"no {CASE}")
def test_fractions_give_the_cmro2_of_percent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_demo(tmp_path / "demo", participants=4, resolution=4.0, modalities=MAPS, seed=1)
    values = {"fit.steps": "4", "fit.steps_per_epoch": "2", "fit.patch": "[16,16,16]"}
    values |= {"grid.spacing": "4", "evaluation.bootstrap": "100", "evaluation.ablate": "[]"}
    sets = [word for k, v in values.items() for word in ("--set", f"{k}={v}")]
    rest = ["--recipe", "cmro2", "--nprocs", "1", "-w", str(tmp_path / "work")]
    fit, out = tmp_path / "fit", tmp_path / "out"
    assert run_command([str(tmp_path / "demo"), str(fit), "group", *rest, *sets]) == 0
    model = ["--model", str(fit / "models/cmro2")]
    assert run_command([str(CASE), str(out), "participant", *rest, *model]) == 0
    told = capfd.readouterr().err
    for name in ("Hct", "O2sat"):
        assert f"{name} of sub-01 is a fraction and is converted to percent" in told
    made = {p.name.split("desc-")[1]: p for p in out.glob("sub-01/perf/*.nii.gz")}
    oef = read_volume(made["closedform_oef.nii.gz"]).array
    cmro2 = read_volume(made["closedform_cmro2.nii.gz"]).array
    assert oef.min() >= 0
    assert oef.max() <= 1
    assert 60 < np.median(cmro2[cmro2 > 0]) < 200
    block = json.loads((out / "sub-01/perf/sub-01_space-T1w_desc-closedform_oef.json").read_text())
    assert block["ClosedForm"]["Hct"] == 45.7
    assert block["ClosedForm"]["HctFrom"] == "participants.tsv"
    synthetic = read_volume(made["synth_cmro2.nii.gz"]).array
    assert np.median(synthetic[synthetic > 0]) > 20
