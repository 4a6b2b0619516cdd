"""Field cases: a T2w that shows a part of the brain; a mask whose run is written otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from learn_toys import make_visit, minus_error, toy_recipe, toy_split

from bids_synth.bids.derivatives.prepared import find_prepared
from bids_synth.bids.raw.query import query
from bids_synth.cli.main import run_command
from bids_synth.core.visit import Prepared
from bids_synth.learn.fit.fit import fit_model
from bids_synth.learn.synthesize import load_synthesizer
from bids_synth.prepare.workflow.key import preparation_key
from bids_synth.recipe.recipe import validate_recipe
from bids_synth.spatial.volume import read_mask, read_volume

CASES = Path(__file__).resolve().parent.parent.parent / "shared" / "cases"


def case(name: str) -> Path:
    if not (CASES / name).is_dir():
        pytest.skip("the field cases are not beside this checkout")
    return CASES / name


def run(folder: Path, dataset: Path, *words: object) -> int:
    told = [dataset, folder / "out", "participant", "-w", folder / "work", "--nprocs", "1",
            "--device", "cpu", *words]  # fmt: skip
    return run_command([str(word) for word in told])


@pytest.mark.slow
def test_run_1_is_run_01(tmp_path, capfd):
    here = case("mask-run-padding")
    made = tmp_path / "made"
    code = run(made, here / "bids", "-d", f"fmriprep={here / 'fmriprep'}", "--preproc-only")
    assert code == 0
    mask = read_mask(next((made / "out").rglob("*_space-T1w_desc-brain_mask.nii.gz")))
    given = read_mask(next((here / "fmriprep").rglob("*_mask.nii.gz")))
    np.testing.assert_array_equal(mask.array, given.array)
    ml = mask.array.sum() * abs(np.linalg.det(mask.grid.affine[:3, :3])) / 1000
    assert ml == pytest.approx(735, rel=0.005)
    assert "is not used as the brain mask" not in "".join(capfd.readouterr())


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """The case as its README runs it, with a small model of the demo's recipe."""
    dataset = case("t2w-covers-part") / "bids"
    folder = tmp_path_factory.mktemp("part")
    data = toy_recipe(steps=4).model_dump(mode="json")
    data["grid"]["spacing"] = data["preparation"]["registration_spacing"] = 4.0
    recipe = validate_recipe(data, origin="case")
    people = [make_visit(folder / "prepared", p) for p in "abce"]
    model = fit_model(
        recipe, people, toy_split("abc"), minus_error, folder=folder / "model",
        work=folder / "fit", seed=1, device="cpu", quiet=True,
    )  # fmt: skip
    code = run(folder, dataset, "--model", model.folder)
    (visit,) = query(dataset, recipe).visits
    key = preparation_key(visit, recipe, seed=1, skull_strip="auto")
    prepared = find_prepared(visit, folder / "out", key=key)
    return code, folder / "out", prepared, load_synthesizer(model, "cpu")


@pytest.mark.slow
def test_a_t2w_that_covers_a_part_is_told(filled):
    code, output, prepared, _ = filled
    assert code == 0
    assert isinstance(prepared, Prepared)
    assert 0.4 < prepared.quality["coverage_T2w"] < 0.5
    assert prepared.quality["coverage_T1w"] == 1
    assert set(prepared.coverage) == {"T2w"}
    (sidecar,) = output.rglob("*_desc-synth_PDw.json")
    block = json.loads(sidecar.read_text())
    assert block["QualityVerdict"]["Level"] in ("review", "fail")
    share = f"{100 * prepared.quality['coverage_T2w']:.0f}"
    assert f"The T2w covers {share} % of the brain" in block["QualityVerdict"]["Reasons"]
    assert block["Coverage"]["Synthesised"] == 1
    assert block["Coverage"]["Sources"]["T2w"] == pytest.approx(
        prepared.quality["coverage_T2w"], abs=1e-4
    )


@pytest.mark.slow
def test_outside_the_slab_the_t2w_is_missing(filled):
    """By an independent answer: the same model shown the T1w alone."""
    _, output, prepared, synthesizer = filled
    inside = read_mask(prepared.mask).array > 0
    there = read_mask(prepared.coverage["T2w"]).array > 0
    assert inside[~there].mean() > 0
    made = synthesizer.synthesize(prepared, "PDw").image.array
    alone = synthesizer.synthesize(prepared, "PDw", sources=["T1w"]).image.array
    whole = synthesizer.synthesize(replace(prepared, coverage={}), "PDw").image.array
    out = inside & ~there
    np.testing.assert_array_equal(made[out], alone[out])
    assert np.abs(whole - alone)[out].mean() > 10 * np.abs(made - alone)[out].mean()
    # What was written is that image: the brain outside the slab is no darker than without a T2w.
    (image,) = output.rglob("*_desc-synth_PDw.nii.gz")
    written = read_volume(image)
    assert written.grid.matches(prepared.native)
    assert np.isclose(
        np.median(written.array[written.array > 0]), np.median(made[inside]), rtol=0.1
    )
