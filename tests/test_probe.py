"""The cost of a fit told before: measured steps, counted looks, the same for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bids_fixtures import make_dataset
from learn_toys import minus_error, toy_recipe, toy_split

from bids_synth.cli.main import run_command
from bids_synth.core.settings import Settings
from bids_synth.core.visit import Scan, Visit
from bids_synth.learn.fit.selection import MOST
from bids_synth.learn.probe import Cost, can_be_probed, probe
from bids_synth.pipeline.plans import cost
from bids_synth.recipe.recipe import load_recipe

COARSE = ("--set", "grid.spacing=4", "--set", "network.width=16", "--set", "fit.patch=[24,24,24]")


def test_a_probe_takes_steps_of_the_recipe_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    recipe = toy_recipe(steps=40, steps_per_epoch=10, members=3).with_values({"grid.spacing": 4.0})
    present = [("T1w", "T2w", "PDw")] * 2
    seen = probe(recipe, minus_error, folds=2, present=present, seed=1, device="cpu", seconds=0.1)
    assert (seen.networks, seen.steps, seen.looks, seen.device) == (6, 40, 5, "cpu")
    assert seen.step > 0
    assert seen.look == pytest.approx(MOST * seen.image), "two visits offer six images"
    expected = 6 * (40 * seen.step + 5 * seen.look)
    assert seen.seconds == pytest.approx(expected)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["mmgan", "pix2pix-ct", "impute"])
def test_slices_volumes_and_voxels_can_be_probed(name):
    small = {"grid.spacing": "8"} if name == "impute" else {"grid.spacing": "4"}
    recipe = load_recipe(name, small)
    assert can_be_probed(recipe)
    seen = probe(recipe, minus_error, folds=1, present=[], seed=1, device="cpu", seconds=0.01)
    assert seen.looks == 0
    assert seen.seconds == pytest.approx(seen.networks * seen.steps * seen.step)


def test_what_needs_a_network_before_is_not_guessed():
    assert not can_be_probed(load_recipe("cyclegan"))
    assert cost.estimate_lines(None, [], Settings(Path("b"), Path("o"), "group", Path("w")))


def visits(*people: str) -> list[Visit]:
    scans = {m: Scan(m, Path(m)) for m in ("T1w", "T2w", "PDw")}
    return [Visit(p, None, scans) for p in people]


def test_the_estimate_counts_what_is_there(tmp_path, monkeypatch):
    fit = Cost("cpu", 2, 100, 3, 0.5, 10.0, 60.0, 2.0, 10**6)
    monkeypatch.setattr("bids_synth.learn.probe.probe", lambda *_, **__: fit)
    settings = Settings(tmp_path, tmp_path / "out", "group", tmp_path / "work", nprocs=2)
    people = visits(*"abcdez")
    recipe = toy_recipe(steps=100, members=2)
    whole = cost.estimated(recipe, toy_split(), people, settings)
    assert whole.fit_seconds == 2 * (100 * 0.5 + 3 * 60)
    assert whole.prepare_seconds == 6 * (cost.OF_VISIT + 3 * cost.OF_SCAN) / 2
    assert whole.score_seconds == (3 * 2 + 3 * 2) * 10 * cost.OVERLAPPING
    done = tmp_path / "out/sub-a/anat"
    done.mkdir(parents=True)
    (done / "sub-a_space-T1w_res-1_desc-preproc_T1w.nii.gz").touch()
    fewer = cost.estimated(recipe, toy_split(), people, settings)
    assert fewer.prepare_seconds == whole.prepare_seconds * 5 / 6


def test_the_plan_of_a_fit_tells_its_cost_also_to_programs(tmp_path, monkeypatch, capsys):
    pairs = [f"sub-{p}/anat/sub-{p}_{m}.nii.gz" for p in "abcd" for m in ("T1w", "T2w")]
    make_dataset(tmp_path / "bids", *pairs)
    monkeypatch.chdir(tmp_path)
    line = ["bids", "out", "group", "--dry-run", "-m", "T1w", "T2w", "-w", "work", *COARSE]
    assert run_command(line) == 0
    told = capsys.readouterr().out
    alone = "no interval of the scores from one test participant"
    figures = ("time: about ", "memory: about ", "disk: about ")
    for word in ("split: 1 test; ", alone, "2 networks x 3,000 steps", *figures):
        assert word in told
    assert run_command([*line, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["cost"]["networks"] == 2
    assert plan["cost"]["seconds"] >= plan["cost"]["seconds_fit"] > 0
    assert len(plan["split"]["test"]) == 1
    assert run_command([*line, "--json", "--device", "cuda:99"]) == 2
    assert "cuda:99" in json.loads(capsys.readouterr().out)["refused"]
    assert [path.name for path in tmp_path.iterdir()] == ["bids"]
