"""CMRO2 and OEF by physics as outputs: the formula resampled, BIDS, and a baseline of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from bids_fixtures import NATIVE, PREPARED, make_dataset, make_prepared, mask

from bids_synth.bids.derivatives.closed_forms import computed_of
from bids_synth.bids.derivatives.dataset import open_output
from bids_synth.bids.derivatives.prepared import write_prepared
from bids_synth.core.scale import Scale
from bids_synth.core.settings import OutputSpace
from bids_synth.core.visit import Visit
from bids_synth.evaluate.score import closed_form_image
from bids_synth.learn.baselines.baselines import Baselines
from bids_synth.learn.data.mean_image import empty_population
from bids_synth.physics import formulas as physics
from bids_synth.physics.visit_maps import HCT, O2SAT, compute
from bids_synth.pipeline.visit.synthesize import VisitSynthesis
from bids_synth.pipeline.visit.write import VisitWriter
from bids_synth.prepare.native import to_native
from bids_synth.prepare.to_template import space_grid, to_template
from bids_synth.recipe.recipe import load_recipe
from bids_synth.spatial.itk import write_itk
from bids_synth.spatial.volume import Volume, read_grid, read_volume, write_volume

VALIDATOR = Path(sys.executable).with_name("bids-validator-deno")
LEVELS = {"cbf": 50.0, "cbv": 4.0, "T2map": 85.0, "T2starmap": 45.0, "cmro2": 999.0}
SOURCES = ("cbf", "cbv", "T2map", "T2starmap")


@pytest.fixture
def place(tmp_path):
    """A visit with a real CMRO2 and all maps for its closed form; a synthesis for it."""
    dataset, output = make_dataset(tmp_path / "raw"), tmp_path / "out"
    open_output(output, dataset=dataset, version="0.1.0", derivatives={})
    kinds = {"T1w": {}} | {m: {} for m in LEVELS}
    prepared = make_prepared(tmp_path / "work", dataset, Visit("01", None, {}), kinds)
    for seed, (name, level) in enumerate(LEVELS.items()):
        values = level * (0.9 + 0.2 * np.random.default_rng(seed).random(PREPARED.shape))
        write_volume(Volume(values.astype(np.float32), PREPARED), prepared.images[name])
    prepared = write_prepared(prepared, output, dataset=dataset)
    synthesis = VisitSynthesis.__new__(VisitSynthesis)
    synthesis.recipe = load_recipe("cmro2")
    synthesis.model = SimpleNamespace(recipe=synthesis.recipe)
    synthesis.settings = SimpleNamespace(
        output=output, dataset=dataset, overwrite=False, evaluate=False, spaces=(), seed=1
    )
    synthesis.writer = VisitWriter(synthesis.model, synthesis.recipe, synthesis.settings)
    return synthesis, prepared, output


def by_hand(prepared, quantity, hct=HCT):
    """Voxel by voxel from the files, through the physics alone."""
    maps = {m: read_volume(prepared.images[m]).array for m in SOURCES}
    inside = mask(PREPARED).array > 0
    times = maps["T2map"], maps["T2starmap"]
    if quantity == "oef":
        found = physics.oef(maps["cbv"], *times, hct=hct, mask=inside)
    else:
        found = physics.cmro2(maps["cbf"], maps["cbv"], *times, hct=hct, o2sat=O2SAT, mask=inside)
    return Volume((found * inside).astype(np.float32), PREPARED)


def test_files_are_the_formula_on_the_native_grid_beside_a_real_cmro2(place):
    synthesis, prepared, output = place
    assert synthesis.writer.compute(prepared) == ["sub-01: cmro2, oef by closed form"]
    for quantity, unit in (("cmro2", "umol/100g/min"), ("oef", "fraction")):
        path = output / f"sub-01/perf/sub-01_space-T1w_desc-closedform_{quantity}.nii.gz"
        found = read_volume(path)
        assert found.grid.matches(NATIVE)
        wanted = to_native(by_hand(prepared, quantity), prepared, order=1).array
        assert wanted.max() > 0
        np.testing.assert_allclose(found.array, wanted, rtol=1e-5)
        block = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
        assert "Synthetic" not in block
        assert "COMPUTED" in block["Description"]
        assert block["Units"] == unit
        assert block["ClosedForm"]["Hct"] == HCT
        assert block["SpatialReference"] == "bids:raw:sub-01/anat/sub-01_T1w.nii.gz"
        assert sum(uri.startswith("bids:raw:") for uri in block["Sources"]) == (
            4 if quantity == "cmro2" else 3
        )


def test_what_is_there_is_computed_again_only_for_other_blood(place):
    synthesis, prepared, _ = place
    synthesis.writer.compute(prepared)
    assert synthesis.writer.compute(prepared) == []
    other = replace(prepared, visit=replace(prepared.visit, traits={"Hct": "36"}))
    assert synthesis.writer.compute(other) == ["sub-01: cmro2, oef by closed form"]
    np.testing.assert_allclose(
        compute("cmro2", other, mask(PREPARED).array),
        by_hand(prepared, "cmro2", hct=36.0).array, rtol=1e-5,
    )  # fmt: skip


def test_other_blood_renews_the_formula_and_leaves_what_the_model_made(place, monkeypatch):
    """The answer of the model does not wait for the formula: nothing is synthesised here."""
    synthesis, prepared, _ = place
    monkeypatch.setattr(VisitWriter, "is_current", lambda *_: True)
    monkeypatch.setattr("bids_synth.pipeline.visit.synthesize.visit_is_drawn", lambda *_: True)
    synthesis.recipe = load_recipe("cmro2")
    visit = replace(
        prepared.visit, scans={m: s for m, s in prepared.visit.scans.items() if m != "cmro2"}
    )
    lacking = replace(prepared, visit=visit)
    assert synthesis.synthesize(lacking).lines == (
        "sub-01: cmro2, oef by closed form",
        "sub-01: cmro2 up to date",
    )
    assert synthesis.synthesize(lacking).lines == ("sub-01: cmro2 up to date",)


def test_a_visit_with_nothing_to_make_is_still_computed_and_drawn(place, monkeypatch):
    synthesis, prepared, _ = place
    drawn = []
    monkeypatch.setattr(
        "bids_synth.pipeline.visit.synthesize.draw_visit", lambda *a: drawn.append(a[3])
    )
    monkeypatch.setattr(
        "bids_synth.pipeline.visit.synthesize.visit_is_drawn", lambda *_: bool(drawn)
    )
    assert synthesis.synthesize(prepared).lines == ("sub-01: cmro2, oef by closed form",)
    assert drawn == [[]]
    assert synthesis.synthesize(prepared).lines == ("sub-01: cmro2, oef up to date",)
    assert len(drawn) == 1


def test_only_what_the_maps_suffice_for(place):
    synthesis, prepared, _ = place
    scans = prepared.visit.scans
    assert synthesis.wants(prepared.visit)
    for lost, left in (("cbf", ["oef"]), ("cbv", []), ("T2map", [])):
        visit = replace(prepared.visit, scans={m: s for m, s in scans.items() if m != lost})
        assert computed_of(visit, synthesis.recipe) == left
    assert computed_of(prepared.visit, load_recipe("cmro2-cgan")) == []


def test_the_validator_accepts_them(place):
    synthesis, prepared, output = place
    synthesis.writer.compute(prepared)

    def errors():
        run = subprocess.run(
            [VALIDATOR, output, "--format", "json"], capture_output=True, text=True, check=False
        )
        issues = json.loads(run.stdout)["issues"]["issues"]
        return [i["location"] for i in issues if i["severity"] == "error"]

    assert errors() == []
    ignored = (output / ".bidsignore").read_text().replace("*_oef", "*_none")
    (output / ".bidsignore").write_text(ignored)
    assert any("_oef" in location for location in errors())


def test_the_baseline_is_the_closed_form(place):
    _, prepared, _ = place
    baselines = Baselines({}, None, empty_population())
    found = baselines.estimate(
        "closed-form", prepared, "cmro2", sources=SOURCES, scale=Scale(7.0, 3.0)
    )
    np.testing.assert_allclose(found.array, by_hand(prepared, "cmro2").array, rtol=1e-5)
    np.testing.assert_array_equal(found.array, compute("cmro2", prepared, mask(PREPARED).array))
    assert found.unit == "umol/100g/min"


def test_a_map_has_the_unit_of_its_quantity(place):
    _, prepared, _ = place
    assert closed_form_image("oef", prepared).unit == "fraction"


def test_copies_in_a_template_are_resampled_once_and_kept_current(place):
    synthesis, prepared, output = place
    synthesis.writer.compute(prepared)
    shift = np.eye(4) + np.array([0, 0, 0, 2.0]) * np.eye(4)[:, :1]
    write_itk(shift, prepared.template)
    synthesis.settings.spaces = (space := OutputSpace("MNI152NLin2009aSym", "2"),)
    assert synthesis.writer.compute(prepared) == ["sub-01: cmro2, oef by closed form"]
    for quantity in ("cmro2", "oef"):
        original = f"sub-01/perf/sub-01_space-T1w_desc-closedform_{quantity}.nii.gz"
        path = output / original.replace("space-T1w", f"space-{space.name}_res-2")
        wanted = to_template(by_hand(prepared, quantity), prepared, space, seed=1)
        assert wanted.array.max() > 0
        assert read_grid(path).matches(space_grid(space))
        np.testing.assert_allclose(read_volume(path).array, wanted.array, rtol=1e-5)
        block = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
        assert block["Sources"][0] == f"bids::{original}"
        assert block["ClosedForm"]["Hct"] == HCT
    assert synthesis.writer.compute(prepared) == []
    path.unlink()
    assert synthesis.writer.compute(prepared) == ["sub-01: oef by closed form"]
    assert path.is_file()
    run = subprocess.run([VALIDATOR, output, "--format", "json"], capture_output=True, check=False)
    found = json.loads(run.stdout)["issues"]["issues"]
    assert [i for i in found if i["severity"] == "error"] == []
